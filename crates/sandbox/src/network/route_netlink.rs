//! The few words of route netlink that a dyno's network takes. Spawning `ip` for each would cost
//! more than all the rest of the network.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::error::{Attempt, Result};
use crate::sys;

/// Bits of network in a dyno's pair: host, dyno, and the two unusable ends.
pub const PAIR_PREFIX: u8 = 30;

const VETH_INFO_PEER: u16 = 1;
const ACK: i32 = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
const CREATE: i32 = ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// The interfaces of the network namespace that was the caller's when this was opened.
pub struct Links {
    socket: OwnedFd,
}

impl Links {
    pub fn open() -> Result<Self> {
        let socket = sys::route_socket().attempt(|| "open a route socket")?;
        Ok(Self { socket })
    }

    /// Adds a pair: `name` here, `peer` in another namespace. One of the same name that the kernel
    /// has not yet taken away is replaced.
    pub fn add_pair(
        &self,
        name: &str,
        peer: &str,
        namespace: BorrowedFd<'_>,
        mtu: u32,
    ) -> Result<()> {
        let request = || pair_request(name, peer, namespace, mtu);
        let added = match self.ask(request()) {
            Err(Errno::EEXIST) => self.remove(name).and_then(|()| self.ask(request())),
            other => other,
        };
        added.map(drop).attempt(|| format!("add the interface {name}"))
    }

    pub fn bring_up(&self, name: &str) -> Result<()> {
        let up = libc::IFF_UP.cast_unsigned();
        self.index(name)
            .and_then(|index| self.ask(link_request(libc::RTM_NEWLINK, ACK, index, up)))
            .map(drop)
            .attempt(|| format!("bring up the interface {name}"))
    }

    pub fn add_address(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let request = |index: u32| {
            let mut request = Message::new(libc::RTM_NEWADDR, CREATE);
            let family = libc::AF_INET.cast_unsigned().to_ne_bytes()[0];
            request.bytes.extend([family, PAIR_PREFIX, 0, libc::RT_SCOPE_UNIVERSE]);
            request.bytes.extend(index.to_ne_bytes());
            request.attribute(libc::IFA_LOCAL, &address.octets());
            request.attribute(libc::IFA_ADDRESS, &address.octets());
            request
        };
        self.index(name)
            .and_then(|index| self.ask(request(index)))
            .map(drop)
            .attempt(|| format!("give {address} to the interface {name}"))
    }

    pub fn add_default_route(&self, gateway: Ipv4Addr) -> Result<()> {
        let mut request = Message::new(libc::RTM_NEWROUTE, CREATE);
        let family = libc::AF_INET.cast_unsigned().to_ne_bytes()[0];
        request.bytes.extend([family, 0, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_BOOT]);
        request.bytes.extend([libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, 0, 0, 0, 0]);
        request.attribute(libc::RTA_GATEWAY, &gateway.octets());
        self.ask(request).map(drop).attempt(|| format!("route everything by {gateway}"))
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        let index = self.index(name)?;
        self.ask(link_request(libc::RTM_DELLINK, ACK, index, 0)).map(drop)
    }

    fn index(&self, name: &str) -> Result<u32, Errno> {
        let mut request = link_request(libc::RTM_GETLINK, ACK, 0, 0);
        request.text(libc::IFLA_IFNAME, name);
        self.ask(request)
    }

    /// Sends a request and waits for the kernel's word on it. Answers the interface index when the
    /// kernel told one.
    fn ask(&self, request: Message) -> Result<u32, Errno> {
        let socket = self.socket.as_raw_fd();
        send(socket, &request.finish(), MsgFlags::empty())?;
        let mut index = 0;
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let length = recv(socket, &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..length];
            while let Some((kind, body, after)) = split(rest) {
                if i32::from(kind) == libc::NLMSG_ERROR {
                    return acknowledged(body).map(|()| index);
                }
                index = word(body, 4).unwrap_or(index);
                rest = after;
            }
        }
    }
}

/// A request under construction.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: i32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        // The flags are sixteen bits wide on the wire.
        bytes.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
        bytes.extend([0; 8]);
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |message| message.bytes.extend(value));
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.nested(kind, |message| {
            message.bytes.extend(value.as_bytes());
            message.bytes.push(0);
        });
    }

    /// An attribute whose value `fill` appends; its length is written afterwards.
    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

fn link_request(kind: u16, flags: i32, index: u32, up: u32) -> Message {
    let mut request = Message::new(kind, flags);
    link_header(&mut request, index, up);
    request
}

fn link_header(message: &mut Message, index: u32, flags: u32) {
    message.bytes.extend([0; 4]);
    message.bytes.extend(index.to_ne_bytes());
    message.bytes.extend(flags.to_ne_bytes());
    message.bytes.extend(flags.to_ne_bytes());
}

fn pair_request(name: &str, peer: &str, namespace: BorrowedFd<'_>, mtu: u32) -> Message {
    let mut request = link_request(libc::RTM_NEWLINK, CREATE, 0, 0);
    request.text(libc::IFLA_IFNAME, name);
    request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
    request.nested(libc::IFLA_LINKINFO, |info| {
        info.text(libc::IFLA_INFO_KIND, "veth");
        info.nested(libc::IFLA_INFO_DATA, |data| {
            data.nested(VETH_INFO_PEER, |other| {
                link_header(other, 0, 0);
                other.text(libc::IFLA_IFNAME, peer);
                other.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
                other.attribute(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
            });
        });
    });
    request
}

/// The first message of `bytes`: its kind, its body, and what follows.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = word(bytes, 0)? as usize;
    let kind = bytes.get(4..6)?.try_into().ok().map(u16::from_ne_bytes)?;
    let body = bytes.get(16..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn acknowledged(body: &[u8]) -> Result<(), Errno> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(-code)),
        None => Err(Errno::EBADMSG),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_know_their_length() {
        let mut message = Message::new(16, 5);
        message.text(3, "lo");
        let bytes = message.finish();
        assert_eq!(bytes.len(), 16 + 8);
        assert_eq!(word(&bytes, 0), Some(24));
        assert_eq!(&bytes[16..], [7, 0, 3, 0, b'l', b'o', 0, 0]);
    }

    #[test]
    fn a_refusal_is_the_kernels_own_number() {
        let body = (-17_i32).to_ne_bytes();
        assert_eq!(acknowledged(&body), Err(Errno::EEXIST));
        assert_eq!(acknowledged(&0_i32.to_ne_bytes()), Ok(()));
        assert_eq!(acknowledged(&[]), Err(Errno::EBADMSG));
    }

    #[test]
    fn the_loopback_interface_is_found() {
        assert_eq!(Links::open().unwrap().index("lo"), Ok(1));
    }
}
