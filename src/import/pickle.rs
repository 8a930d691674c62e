//! The part of Python's pickle protocol that `torch.save` uses for state dicts, as data: nothing is executed.
//!
//! Values lie in one list and name each other by their place in it. A pickle therefore makes no more of them than it has opcodes,
//! however often it shares them, however deep it nests them, and where it closes a circle.

use std::collections::HashMap;

/// Most bytes of a pickle: a thousand times that of the published networks.
const MOST: usize = 1 << 24;

/// The place of a value.
pub(super) type Id = usize;

/// A pickled value; text and names are those of the pickle.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Text(&'a str),
    /// Tuples and lists.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function: module and name.
    Global(&'a str, &'a str),
    /// What a persistent id stands for: its tuple.
    Persistent(Id),
    /// A call, or the making of an object: what is called and the arguments.
    Call(Id, Id),
}

/// The values of a pickle.
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    /// The value that was pickled.
    pub root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle; errors are messages for the file's own error.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() > MOST {
            return Err(format!("pickle of {} bytes; at most {MOST} are read", bytes.len()));
        }
        let mut machine =
            Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        loop {
            if let Some(root) = machine.step()? {
                return Ok(Self { values: machine.values, root });
            }
        }
    }

    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id]
    }

    pub fn text(&self, id: Id) -> Option<&'a str> {
        if let Value::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub fn index(&self, id: Id) -> Option<usize> {
        if let Value::Int(value) = self.get(id) { usize::try_from(*value).ok() } else { None }
    }

    pub fn list(&self, id: Id) -> Option<&[Id]> {
        if let Value::List(items) = self.get(id) { Some(items) } else { None }
    }

    /// A list of sizes.
    pub fn indices(&self, id: Id) -> Option<Vec<usize>> {
        self.list(id)?.iter().map(|&item| self.index(item)).collect()
    }

    /// Module and name of the function that a value was called by, and its arguments.
    pub fn call(&self, id: Id) -> Option<(&'a str, &'a str, &[Id])> {
        let Value::Call(function, arguments) = *self.get(id) else { return None };
        let Value::Global(module, name) = *self.get(function) else { return None };
        Some((module, name, self.list(arguments)?))
    }

    /// What a value is, in words.
    pub fn kind(&self, id: Id) -> String {
        match self.get(id) {
            Value::None => "None".into(),
            Value::Bool => "a truth value".into(),
            Value::Int(value) => format!("the integer {value}"),
            Value::Float => "a number".into(),
            Value::Text(_) => "a text".into(),
            Value::List(_) => "a list".into(),
            Value::Dict(_) => "a dict".into(),
            Value::Global(module, name) => format!("the class or function {module}.{name}"),
            Value::Persistent(_) => "a storage".into(),
            Value::Call(function, _) => match self.get(*function) {
                Value::Global(module, name) => format!("an object made by {module}.{name}"),
                _ => "an object".into(),
            },
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.slice(N)?.try_into().map_err(|_| "pickle cut off".into())
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len).ok_or("pickle cut off")?;
        let out = self.bytes.get(self.at..end).ok_or("pickle cut off")?;
        self.at = end;
        Ok(out)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, String> {
        str::from_utf8(self.slice(len)?).map_err(|_| "pickled text is not UTF-8".into())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let text = self.text(rest.iter().position(|&b| b == b'\n').ok_or("pickle cut off")?)?;
        self.at += 1;
        Ok(text)
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "pickle stack is empty".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "pickle stack is empty".into())
    }

    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or("pickle mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    /// Adds keys and values, in turn, to the dict on top of the stack.
    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        let Value::Dict(dict) = &mut self.values[top] else {
            return Err("pickle sets items of something that is no dict".into());
        };
        dict.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    /// Executes one opcode; the place of the pickled value at its end.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [opcode] = self.take()?;
        let value = match opcode {
            b'.' => return self.pop().map(Some),
            // The protocol, and frames of protocol 4, whose length is of no use here.
            0x80 => return self.slice(1).map(|_| None),
            0x95 => return self.slice(8).map(|_| None),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(None);
            }
            b'q' | b'r' | 0x94 => {
                let key = match opcode {
                    b'q' => u32::from(self.take::<1>()?[0]),
                    b'r' => u32::from_le_bytes(self.take()?),
                    _ => self.memo.len() as u32,
                };
                self.memo.insert(key, self.top()?);
                return Ok(None);
            }
            b'h' | b'j' => {
                let key =
                    if opcode == b'h' { u32::from(self.take::<1>()?[0]) } else { u32::from_le_bytes(self.take()?) };
                self.stack.push(*self.memo.get(&key).ok_or_else(|| format!("pickle memo {key} is missing"))?);
                return Ok(None);
            }
            // Also the attributes of an object, such as the metadata of an ordered dict.
            b'0' | b'b' => return self.pop().map(|_| None),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.set(&[key, value]).map(|()| None);
            }
            b'u' => {
                let items = self.marked()?;
                return self.set(&items).map(|()| None);
            }
            b'a' | b'e' => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.marked()? };
                let top = self.top()?;
                let Value::List(list) = &mut self.values[top] else {
                    return Err("pickle appends to something that is no list".into());
                };
                list.extend(items);
                return Ok(None);
            }
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.take()?))),
            b'K' => Value::Int(i64::from(self.take::<1>()?[0])),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.take()?))),
            0x8a => {
                let [len] = self.take()?;
                let bytes = self.slice(usize::from(len))?;
                if bytes.len() > 8 {
                    return Err("pickled integer of more than 64 bits".into());
                }
                let sign = bytes.last().map_or(0, |&top| if top & 0x80 == 0 { 0 } else { 0xff });
                Value::Int(i64::from_le_bytes(std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(sign))))
            }
            b'G' => self.slice(8).map(|_| Value::Float)?,
            b'X' => {
                let len = u32::from_le_bytes(self.take()?);
                Value::Text(self.text(len as usize)?)
            }
            0x8c => {
                let [len] = self.take()?;
                Value::Text(self.text(usize::from(len))?)
            }
            b'}' => Value::Dict(Vec::new()),
            b')' | b']' => Value::List(Vec::new()),
            b't' => Value::List(self.marked()?),
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or("pickle stack is empty")?;
                Value::List(self.stack.split_off(start))
            }
            b'c' => Value::Global(self.line()?, self.line()?),
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module], &self.values[name]) {
                    (Value::Text(module), Value::Text(name)) => Value::Global(module, name),
                    _ => return Err("pickled class without a name".into()),
                }
            }
            b'Q' => Value::Persistent(self.pop()?),
            // Calls, and objects of a class.
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                match (&self.values[callable], &self.values[arguments]) {
                    (Value::Global("collections", "OrderedDict"), Value::List(none)) if none.is_empty() => {
                        Value::Dict(Vec::new())
                    }
                    _ => Value::Call(callable, arguments),
                }
            }
            other => return Err(format!("pickle opcode {other:#04x} at byte {} is not read", self.at - 1)),
        };
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(None)
    }
}
