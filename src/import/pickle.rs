//! The part of Python's pickle protocol that `torch.save` uses for state dicts, as data: nothing is executed.

use std::collections::HashMap;

/// A pickled value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Tuples and lists.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A class or function, "module name".
    Global(String),
    /// What a persistent id stands for: its tuple.
    Persistent(Box<Value>),
    /// A call that is not understood: the callable's name and the arguments.
    Call(String, Vec<Value>),
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn index(&self) -> Option<usize> {
        if let Self::Int(value) = self { usize::try_from(*value).ok() } else { None }
    }

    pub(super) fn list(&self) -> Option<&[Value]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }
}

/// Reads one pickle; errors are messages for the file's own error.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        if let Some(value) = machine.step()? {
            return Ok(value);
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl Machine<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let rest = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        self.at += N;
        rest.copied().ok_or_else(|| "pickle cut off".to_string())
    }

    fn slice(&mut self, len: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(len).ok_or("pickle cut off")?;
        let out = self.bytes.get(self.at..end).ok_or("pickle cut off")?;
        self.at = end;
        Ok(out)
    }

    fn string(&mut self, len: usize) -> Result<Value, String> {
        let bytes = self.slice(len)?.to_vec();
        String::from_utf8(bytes).map(Value::Text).map_err(|_| "pickled text is not UTF-8".into())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&b| b == b'\n').ok_or("pickle cut off")?;
        let text = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.at += len + 1;
        Ok(text)
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "pickle stack is empty".into())
    }

    fn marked(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or("pickle mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, len: usize) -> Result<Value, String> {
        let start = self.stack.len().checked_sub(len).ok_or("pickle stack is empty")?;
        Ok(Value::List(self.stack.split_off(start)))
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let top = self.stack.last().ok_or("pickle stack is empty")?;
        self.memo.insert(key, top.clone());
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<Value, String> {
        self.memo.get(&key).cloned().ok_or_else(|| format!("pickle memo {key} is missing"))
    }

    /// Adds pairs to the dict on top of the stack.
    fn set(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::Dict(dict)) = self.stack.last_mut() else {
            return Err("pickle sets items of something that is no dict".into());
        };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.push((key, value));
        }
        Ok(())
    }

    /// Executes one opcode; the value of the pickle at its end.
    fn step(&mut self) -> Result<Option<Value>, String> {
        let [opcode] = self.take()?;
        let value = match opcode {
            0x80 => {
                let [_protocol] = self.take()?;
                return Ok(None);
            }
            // Frames of protocol 4: their length is of no use here.
            0x95 => {
                let _: [u8; 8] = self.take()?;
                return Ok(None);
            }
            b'.' => return self.pop().map(Some),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(None);
            }
            b'q' => {
                let [key] = self.take()?;
                self.remember(u32::from(key))?;
                return Ok(None);
            }
            b'r' => {
                let key = u32::from_le_bytes(self.take()?);
                self.remember(key)?;
                return Ok(None);
            }
            0x94 => {
                self.remember(self.memo.len() as u32)?;
                return Ok(None);
            }
            b'0' => {
                self.pop()?;
                return Ok(None);
            }
            // The attributes of an object, such as the metadata of an ordered dict.
            b'b' => {
                self.pop()?;
                return Ok(None);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
                return Ok(None);
            }
            b'u' => {
                let items = self.marked()?;
                self.set(items)?;
                return Ok(None);
            }
            b'a' | b'e' => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.marked()? };
                let Some(Value::List(list)) = self.stack.last_mut() else {
                    return Err("pickle appends to something that is no list".into());
                };
                list.extend(items);
                return Ok(None);
            }
            b'h' => {
                let [key] = self.take()?;
                self.recall(u32::from(key))?
            }
            b'j' => {
                let key = u32::from_le_bytes(self.take()?);
                self.recall(key)?
            }
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(opcode == 0x88),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.take()?))),
            b'K' => Value::Int(i64::from(u8::from_le_bytes(self.take()?))),
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
            b'G' => Value::Float(f64::from_be_bytes(self.take()?)),
            b'X' => {
                let len = u32::from_le_bytes(self.take()?);
                self.string(len as usize)?
            }
            0x8c => {
                let [len] = self.take()?;
                self.string(usize::from(len))?
            }
            b'}' => Value::Dict(Vec::new()),
            b')' | b']' => Value::List(Vec::new()),
            b't' => Value::List(self.marked()?),
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                Value::Global(format!("{module} {name}"))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let both = module.text().zip(name.text()).ok_or("pickled class without a name")?;
                Value::Global(format!("{} {}", both.0, both.1))
            }
            b'Q' => Value::Persistent(Box::new(self.pop()?)),
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                match (callable, arguments) {
                    (Value::Global(name), Value::List(_)) if name == "collections OrderedDict" => {
                        Value::Dict(Vec::new())
                    }
                    (Value::Global(name), Value::List(arguments)) => Value::Call(name, arguments),
                    other => return Err(format!("pickle calls {other:?}")),
                }
            }
            other => return Err(format!("pickle opcode {other:#04x} at byte {} is not read", self.at - 1)),
        };
        self.stack.push(value);
        Ok(None)
    }
}
