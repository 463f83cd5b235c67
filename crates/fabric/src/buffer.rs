//! Owned packet memory that is moved from hop to hop and used again.
//!
//! A packet is never copied inside the fabric: its buffer travels from the world's read into a
//! lane, through the middleboxes that rewrite it in place, and out to the world's write, which
//! hands it back with [`recycle`](crate::Fabric::recycle). Once as many buffers exist as packets
//! were ever in flight together, no packet costs an allocation.

use alloc::{boxed::Box, vec, vec::Vec};

/// One packet's memory, lent by [`Fabric::buffer`](crate::Fabric::buffer).
///
/// [`as_mut_slice`](Self::as_mut_slice) is the whole capacity, to read a packet into;
/// [`set_len`](Self::set_len) then says how much of it the packet fills. A fresh loan has length
/// zero; what an earlier packet left in it is not cleared.
#[derive(Clone, Debug, Default)]
pub struct PacketBuffer {
    bytes: Box<[u8]>,
    len: u32,
}

impl PacketBuffer {
    fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), len: 0 }
    }

    /// The whole capacity, whatever the length is.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Sets how many bytes the packet fills; more than the capacity counts as the capacity.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.bytes.len()) as u32;
    }

    /// Copies `packet` in and sets the length.
    ///
    /// # Errors
    ///
    /// [`PacketTooLong`] if it exceeds the capacity; the buffer keeps what it held.
    pub fn fill(&mut self, packet: &[u8]) -> Result<(), PacketTooLong> {
        let Some(room) = self.bytes.get_mut(..packet.len()) else {
            return Err(PacketTooLong { needed: packet.len(), capacity: self.bytes.len() });
        };
        room.copy_from_slice(packet);
        self.set_len(packet.len());
        Ok(())
    }

    /// The packet.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// The packet, to be rewritten in place.
    #[inline]
    pub(crate) fn packet_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len as usize]
    }

    /// The packet's length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the length is zero.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes fit.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

/// A packet did not fit into a [`PacketBuffer`]; the graph's
/// [`packet_capacity`](crate::Graph::set_packet_capacity) sets how much does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketTooLong {
    /// Length of the packet in bytes.
    pub needed: usize,
    /// Capacity of the buffer in bytes.
    pub capacity: usize,
}

impl core::fmt::Display for PacketTooLong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a packet of {} bytes exceeds the buffer's {}", self.needed, self.capacity)
    }
}

impl core::error::Error for PacketTooLong {}

/// How many buffers exist and where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferCount {
    /// Buffers ever made by this fabric.
    pub made: usize,
    /// Buffers that wait for their next packet.
    pub idle: usize,
    /// Buffers with a packet inside the fabric: on a link, or delivered and not yet polled.
    pub in_flight: usize,
}

/// The buffers that wait for their next packet.
#[derive(Clone, Debug)]
pub(crate) struct BufferPool {
    idle: Vec<PacketBuffer>,
    capacity: usize,
    made: usize,
}

impl BufferPool {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { idle: Vec::new(), capacity, made: 0 }
    }

    #[inline]
    pub(crate) fn take(&mut self) -> PacketBuffer {
        let Some(mut buffer) = self.idle.pop() else {
            self.made += 1;
            return PacketBuffer::new(self.capacity);
        };
        buffer.set_len(0);
        buffer
    }

    /// Keeps `buffer` for its next packet. One of another fabric's capacity is let go.
    #[inline]
    pub(crate) fn put(&mut self, buffer: PacketBuffer) {
        if buffer.capacity() == self.capacity {
            self.idle.push(buffer);
        }
    }

    pub(crate) fn made(&self) -> usize {
        self.made
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_lent_again() {
        let mut pool = BufferPool::new(64);
        let first = pool.take();
        pool.put(first);
        let second = pool.take();
        assert_eq!((pool.made(), second.len()), (1, 0));
    }

    #[test]
    fn a_packet_beyond_the_capacity_is_refused_and_leaves_the_buffer_as_it_was() {
        let mut buffer = PacketBuffer::new(4);
        buffer.fill(&[1, 2]).unwrap();
        assert_eq!(buffer.fill(&[0; 5]), Err(PacketTooLong { needed: 5, capacity: 4 }));
        assert_eq!(buffer.as_slice(), &[1, 2]);
    }
}
