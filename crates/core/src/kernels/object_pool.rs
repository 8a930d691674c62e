//! Objects that wait for their next use.
//!
//! A training step needs the work space and the gradients of the step before it. They wait in a pool meanwhile, instead of going
//! back to the system, which would hand their memory out again page by page.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A pool of idle objects; clones are the same pool.
#[derive(Debug)]
pub struct ObjectPool<T>(Arc<Mutex<Vec<T>>>);

impl<T> ObjectPool<T> {
    /// The idle object that was released last among those that `fits`, or what `make` makes.
    pub fn acquire(&self, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Pooled<T> {
        let idle = {
            let mut all = self.idle();
            all.iter().rposition(fits).map(|at| all.swap_remove(at))
        };
        self.adopt(idle.unwrap_or_else(make))
    }

    /// An object that will be released into this pool.
    pub fn adopt(&self, object: T) -> Pooled<T> {
        Pooled { object: Some(object), pool: self.clone() }
    }

    /// Objects that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for ObjectPool<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for ObjectPool<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// An object in use; dropped, it waits in its pool.
#[derive(Debug)]
pub struct Pooled<T> {
    /// Until it is dropped or kept.
    object: Option<T>,
    pool: ObjectPool<T>,
}

impl<T> Pooled<T> {
    /// The object itself, which will not be released.
    pub fn keep(mut self) -> T {
        self.object.take().unwrap_or_else(|| unreachable!("held until here"))
    }
}

impl<T> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object.as_ref().unwrap_or_else(|| unreachable!("held until it is dropped"))
    }
}

impl<T> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.object.as_mut().unwrap_or_else(|| unreachable!("held until it is dropped"))
    }
}

impl<T: Clone> Clone for Pooled<T> {
    fn clone(&self) -> Self {
        self.pool.adopt((**self).clone())
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.pool.idle().push(object);
        }
    }
}
