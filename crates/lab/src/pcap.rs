//! One pcapng file for each port, as a packet socket on that port would have written it.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};

use crate::error::LabError;
use crate::pump::{KeptPacket, Way};

/// `if_tsresol`: the timestamps count nanoseconds.
const NANOSECONDS: u8 = 9;

/// `epb_flags`: the packet came in, or went out, seen from the host.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

pub(crate) struct PcapFile {
    writer: PcapNgWriter<BufWriter<File>>,
}

impl PcapFile {
    pub(crate) fn create(path: &Path, port: &str) -> Result<Self, LabError> {
        let failed = |source| LabError::CaptureFile { path: path.to_owned(), source };
        let file = File::create(path).map_err(failed)?;
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0xffff,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(port)),
                InterfaceDescriptionOption::IfDescription(Cow::Owned(format!(
                    "the port of {port}"
                ))),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        let write = || {
            let mut writer = PcapNgWriter::new(BufWriter::new(file))?;
            writer.write_pcapng_block(interface)?;
            Ok(writer)
        };
        let writer =
            write().map_err(|error: pcap_file::PcapError| failed(std::io::Error::other(error)))?;
        Ok(Self { writer })
    }

    /// Writes one packet, with a comment if there is something to say. A full disk shows when the
    /// file is closed.
    pub(crate) fn write(&mut self, packet: &KeptPacket, comment: Option<&str>) {
        let flags = match packet.way {
            Way::In => INBOUND,
            Way::Out => OUTBOUND,
        };
        let mut options = vec![EnhancedPacketOption::Flags(flags)];
        options.extend(comment.map(|words| EnhancedPacketOption::Comment(Cow::Borrowed(words))));
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_nanos(packet.at.as_nanos()),
            original_len: u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(&packet.bytes),
            options,
        };
        if let Err(error) = self.writer.write_pcapng_block(block) {
            tracing::error!(%error, "a packet was not captured");
        }
    }
}
