//! The second layer: one program on the host side of each veth of a pod.
//!
//! Where the kernel has TCX links (6.6), the attachment is a link that can be pinned and replaced; before that
//! it is a filter of the device's clsact, which stays until the device goes.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf,
    programs::{
        Program, SchedClassifier, TcAttachType,
        tc::{
            NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
        },
    },
};

use super::{attach::lock, error::DatapathError, object::Datapath, pinned::PinFolder, syscall};
use crate::netns::filter::{FilterId, Filters};

const PROGRAM: &str = "weir_wire";

/// Ahead of every other filter of the device, and always the same one of ours.
const CLSACT_PRIORITY: u16 = 1;
const CLSACT_HANDLE: u32 = 0x7765;
const FILTER: FilterId = FilterId { priority: CLSACT_PRIORITY, handle: CLSACT_HANDLE };

/// How the second layer is attached to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireAttach {
    /// By a TCX link.
    Tcx,
    /// By a filter of clsact.
    Clsact,
}

/// The second layer on one device. A TCX link that is pinned outlives this process; a filter does so anyway.
#[derive(Debug)]
pub struct WireAttachment {
    device: u32,
    kind: Held,
}

#[derive(Debug)]
enum Held {
    Link { link: OwnedFd, pins: Option<PinFolder> },
    Filter,
}

pub(super) fn load(programs: &mut Ebpf) -> Result<(), DatapathError> {
    classifier(programs)?.load().map_err(DatapathError::program(PROGRAM))
}

/// The identifier of the program, once it is loaded.
pub(super) fn id(programs: &mut Ebpf) -> Result<u32, DatapathError> {
    let failed = |source| DatapathError::Program { program: PROGRAM, source: Box::new(source) };
    Ok(classifier(programs)?.info().map_err(failed)?.id())
}

fn classifier(programs: &mut Ebpf) -> Result<&mut SchedClassifier, DatapathError> {
    match programs.program_mut(PROGRAM) {
        Some(Program::SchedClassifier(program)) => Ok(program),
        _ => Err(DatapathError::Missing(PROGRAM)),
    }
}

impl Datapath {
    /// Guards what comes in by a device of this network namespace: the host side of a pod's veth. With a folder on
    /// bpffs the link is pinned there. What is pinned already is taken over, with the current program in it.
    ///
    /// # Errors
    ///
    /// What the kernel said; the device is not guarded then.
    pub fn attach_wire(
        &self,
        device: u32,
        slot: u32,
        pins: Option<&Path>,
        how: WireAttach,
    ) -> Result<WireAttachment, DatapathError> {
        lock(&self.tables).set_wire(device, slot)?;
        let failed = |source| DatapathError::Wire { device, source };
        let kind = match how {
            // The kernel waits for an RCU grace period, in which no other pod must have to wait for the programs.
            WireAttach::Tcx => link(&self.wire_program().map_err(failed)?, device, pins),
            WireAttach::Clsact => filter(classifier(&mut lock(&self.programs))?, device),
        };
        let kind = kind.map_err(failed)?;
        Ok(WireAttachment { device, kind })
    }

    fn wire_program(&self) -> io::Result<OwnedFd> {
        let mut programs = lock(&self.programs);
        let program = classifier(&mut programs).map_err(io::Error::other)?;
        program.fd().map_err(io::Error::other)?.as_fd().try_clone_to_owned()
    }

    /// The way that this kernel has.
    #[must_use]
    pub fn wire_attach(&self) -> WireAttach {
        let mut programs = lock(&self.programs);
        let has_links = classifier(&mut programs).is_ok_and(|program| {
            program.fd().is_ok_and(|program| syscall::links_to_devices(program.as_fd()))
        });
        if has_links { WireAttach::Tcx } else { WireAttach::Clsact }
    }

    /// Ends the guard, for a device that is gone or a pod that is.
    ///
    /// # Errors
    ///
    /// What could not be removed.
    pub fn detach_wire(&self, attachment: WireAttachment) -> io::Result<()> {
        let WireAttachment { device, kind } = attachment;
        lock(&self.tables).remove_wire(device);
        match kind {
            Held::Link { pins: Some(pins), .. } => {
                match fs::remove_file(pins.path().join(pin_name(device))) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                }
            }
            // The filter goes with the device; the pod that it was for is gone.
            Held::Link { pins: None, .. } | Held::Filter => Ok(()),
        }
    }
}

/// What was wrong with the second layer of a device, and is right again.
#[derive(Debug)]
pub(super) struct Mended {
    /// 1 when the program was not attached.
    pub(super) program: u64,
    /// 1 when the link was not pinned, or why it still is not.
    pub(super) pin: io::Result<u64>,
}

impl Datapath {
    /// Looks whether our program still judges what comes in by the device, and attaches it again if not. A device that
    /// is gone needs no program.
    pub(super) fn mend_wire(
        &self,
        wire: &mut WireAttachment,
        filters: &mut Filters,
    ) -> io::Result<Mended> {
        let device = wire.device;
        let (link, pins) = match &mut wire.kind {
            Held::Link { link, pins } => (link, pins),
            Held::Filter => {
                let program = u64::from(self.mend_filter(device, filters)?);
                return Ok(Mended { program, pin: Ok(0) });
            }
        };
        let info = syscall::link_info(link.as_fd())?;
        let mut program = 0;
        if info.device() != device {
            if !exists(device) {
                return Ok(Mended { program, pin: Ok(0) });
            }
            *link = syscall::link_to_device(self.wire_program()?.as_fd(), device)?;
            if let Some(pins) = pins {
                // If this fails, the look at the pins tries it again and tells.
                pins.replace(&pin_name(device), link.as_fd()).ok();
            }
            program = 1;
        } else if info.program != self.ids.wire {
            syscall::update_link(link.as_fd(), self.wire_program()?.as_fd())?;
            program = 1;
        }
        let keep = |pins: &mut PinFolder| pins.keep(&[(&pin_name(device), link.as_fd())]);
        Ok(Mended { program, pin: pins.as_mut().map_or(Ok(0), keep) })
    }

    fn mend_filter(&self, device: u32, filters: &mut Filters) -> io::Result<bool> {
        if filters.program(FILTER, device)? == Some(self.ids.wire) || !exists(device) {
            return Ok(false);
        }
        filter(classifier(&mut lock(&self.programs)).map_err(io::Error::other)?, device)?;
        Ok(true)
    }
}

fn exists(device: u32) -> bool {
    nix::net::if_::if_indextoname(device).is_ok()
}

impl WireAttachment {
    /// The index of the device.
    #[must_use]
    pub const fn device(&self) -> u32 {
        self.device
    }
}

fn link(program: &OwnedFd, device: u32, pins: Option<&Path>) -> io::Result<Held> {
    let program = program.as_fd();
    let Some(folder) = pins else {
        return Ok(Held::Link { link: syscall::link_to_device(program, device)?, pins: None });
    };
    let mut pins = PinFolder::new(folder);
    let pin = folder.join(pin_name(device));
    let left = match syscall::open_pin(&pin) {
        Ok(link) => match syscall::update_link(link.as_fd(), program) {
            Ok(()) => Some(link),
            // Somebody has detached it while no agent ran.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => None,
            Err(error) => return Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let link = if let Some(link) = left {
        link
    } else {
        let link = syscall::link_to_device(program, device)?;
        pins.replace(&pin_name(device), link.as_fd())?;
        link
    };
    Ok(Held::Link { link, pins: Some(pins) })
}

/// What the link of a device is pinned as.
fn pin_name(device: u32) -> String {
    format!("{PROGRAM}-{device}")
}

/// Puts the filter there, or in the place of the one that an earlier agent left.
fn filter(program: &mut SchedClassifier, device: u32) -> io::Result<Held> {
    let name = nix::net::if_::if_indextoname(device)?;
    let name = name.to_string_lossy();
    match qdisc_add_clsact(&name) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(io::Error::other(error)),
    }
    let handle = TcHandle::from(CLSACT_HANDLE);
    let ours =
        SchedClassifierLink::attached(&name, TcAttachType::Ingress, CLSACT_PRIORITY, handle, None)?;
    let id = match program.attach_to_link(ours) {
        Ok(id) => id,
        Err(_none_there) => {
            let options = NlOptions { priority: CLSACT_PRIORITY, handle, ..NlOptions::default() };
            let options = TcAttachOptions::Netlink(options);
            program
                .attach_with_options(&name, TcAttachType::Ingress, options)
                .map_err(io::Error::other)?
        }
    };
    // Forgotten on purpose: dropped, it would remove the filter.
    std::mem::forget(program.take_link(id).map_err(io::Error::other)?);
    Ok(Held::Filter)
}
