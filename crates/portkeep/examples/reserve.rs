//! Reserves the two UDP ports of an RTP session, shows that a stranger cannot take them, and opens
//! them.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;

use portkeep::Reservation;

/// What a stranger's bind is refused with: Windows says that access is denied, and Linux that the port is
/// in use.
const REFUSED: io::ErrorKind = if cfg!(windows) {
    io::ErrorKind::PermissionDenied
} else {
    io::ErrorKind::AddrInUse
};

fn main() -> ExitCode {
    let reservation = match Reservation::builder().udp().count(2).align(2).acquire() {
        Ok(reservation) => reservation,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("Hint: {hint}");
            }
            return ExitCode::FAILURE;
        }
    };
    match show(&reservation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(reservation: &Reservation) -> Result<(), Box<dyn Error>> {
    for range in reservation.ranges() {
        println!("reserved {range}");
    }

    // A socket that is not associated is a stranger, be it of the same process.
    match UdpSocket::bind((Ipv4Addr::LOCALHOST, reservation.start())) {
        Err(error) if error.kind() == REFUSED => {
            println!("a stranger's bind to port {}: {error}", reservation.start());
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("a stranger took a reserved port".into()),
    }

    let rtp = reservation.udp_socket(Ipv4Addr::LOCALHOST, Some(reservation.start()))?;
    let rtcp = reservation.udp_socket(Ipv4Addr::LOCALHOST, Some(reservation.end()))?;
    println!(
        "RTP at {}, RTCP at {}",
        rtp.local_addr()?,
        rtcp.local_addr()?
    );
    Ok(())
}
