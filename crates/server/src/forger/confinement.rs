//! What is left to a forger once it works: messages on one descriptor, packets on two, questions
//! about sockets, memory, and its end.

use std::os::fd::{AsFd, AsRawFd};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use simopen_device::capability::keep_only;
use simopen_device::raw::RawSender;
use simopen_device::rights::MessageSocket;
use simopen_device::system_call as call;

use super::ForgerError;

/// Gives up every capability, and every system call but those few; any other one kills the process.
///
/// # Errors
///
/// Where the kernel has no seccomp, or this architecture is not known to its compiler.
pub fn confine(channel: &MessageSocket, senders: &[&RawSender]) -> Result<(), ForgerError> {
    keep_only(&[])?;
    let program =
        program(channel, senders).map_err(|error| ForgerError::Filter(error.to_string()))?;
    seccompiler::apply_filter(&program).map_err(|error| ForgerError::Filter(error.to_string()))
}

fn program(
    channel: &MessageSocket,
    senders: &[&RawSender],
) -> Result<BpfProgram, seccompiler::BackendError> {
    let on = |descriptor: &dyn AsRawFd| is(0, descriptor.as_raw_fd().cast_unsigned().into());
    let channel = on(&channel.as_fd());
    let mut sends = Vec::new();
    for sender in senders {
        sends.push(SeccompRule::new(vec![on(*sender)?])?);
    }
    let mut questions = Vec::new();
    for (level, name) in call::SOCKET_QUESTIONS {
        questions.push(SeccompRule::new(vec![is(1, level)?, is(2, name)?])?);
    }
    let channel = SeccompRule::new(vec![channel?])?;
    let unexecutable = SeccompCondition::new(
        2,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(call::EXECUTABLE),
        0,
    )?;
    let rules = [
        (call::RECVMSG, vec![channel.clone()]),
        (call::SENDMSG, vec![channel]),
        (call::SENDTO, sends),
        (call::GETSOCKOPT, questions),
        (call::GETSOCKNAME, vec![]),
        (call::GETPEERNAME, vec![]),
        (call::CLOSE, vec![]),
        (call::FCNTL, vec![SeccompRule::new(vec![is(1, call::IS_OPEN)?])?]),
        (call::CLOCK_GETTIME, vec![]),
        (call::BRK, vec![]),
        (call::MMAP, vec![SeccompRule::new(vec![unexecutable])?]),
        (call::MREMAP, vec![]),
        (call::MUNMAP, vec![]),
        (call::SIGALTSTACK, vec![]),
        (call::EXIT_GROUP, vec![]),
    ];
    let architecture = std::env::consts::ARCH.try_into()?;
    let (others, these) = (SeccompAction::KillProcess, SeccompAction::Allow);
    SeccompFilter::new(rules.into_iter().collect(), others, these, architecture)?.try_into()
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}
