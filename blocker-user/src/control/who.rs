//! Who is at the other end of the socket, so that what is done by hand has a name to it.

use nix::unistd::{Uid, User};

/// The name of a user, as far as the kernel tells whose process it is.
pub(super) fn name(uid: Option<u32>) -> String {
    let Some(uid) = uid else { return "somebody".to_owned() };
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn users_have_names_and_others_numbers() {
        assert_eq!(name(Some(0)), "root");
        assert_eq!(name(Some(4_000_000_001)), "uid 4000000001");
    }
}
