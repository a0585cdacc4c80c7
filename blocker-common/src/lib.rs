//! What the kernel half and the user half of doveblock share: the layout of the maps
//! ([`abi`]) and the decision what a packet is ([`packet`]). Nothing here performs I/O,
//! allocates, or knows on which side of the kernel boundary it runs.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod packet;
