//! What must be there before the services of kolla that were wired start: on each node, and in the deployment file.

use super::{Inside, Runtime};

/// Something that `wire kolla` does not write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Where.
    pub place: String,
    /// What.
    pub what: String,
}

/// All of it.
pub fn needs(runtime: Runtime, inside: &Inside) -> Vec<Need> {
    let need = |place: &str, what: &str| Need { place: place.to_owned(), what: what.to_owned() };
    let mut all = vec![need(
        "each node: /usr/share/donjon/python",
        "made by `pip install --target /usr/share/donjon/python drivers/python`; `donjon_python` in a file of globals.d that is read \
         after donjon.yml names the Python of images that have another",
    )];
    match runtime {
        Runtime::Donjon => {
            let place = format!("each node: {}", inside.address);
            all.push(need(&place, "`donjon serve` answers there; until it does, services do not start"));
        }
        Runtime::Castellan => {
            all.push(need(
                "each node: /etc/donjon/ROLE/castellan.conf",
                "where `donjon serve` is and the credential of the role, for that service's user alone (in kolla's images Keystone is 42425)",
            ));
            all.push(need("each node: /etc/donjon/ROLE/mapping.conf", "the one that was written here"));
        }
    }
    all.push(need(
        "donjon.yaml: roles",
        "what each service reads, for its user by number: `keystone: {reads: [keystone_database_password, …], users: [42425, root]}`; root \
         too for Keystone alone, since kolla sets it up by its container's root",
    ));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_driver_has_needs_of_its_own() {
        let inside =
            Inside { address: "unix:///run/x/s".to_owned(), mount: "donjon".to_owned(), folder: "/etc/d".to_owned() };
        let places = |runtime| needs(runtime, &inside).into_iter().map(|need| need.place).collect::<Vec<_>>();
        assert!(places(Runtime::Donjon).contains(&"each node: unix:///run/x/s".to_owned()));
        assert!(places(Runtime::Castellan).iter().any(|place| place.ends_with("castellan.conf")));
        for runtime in [Runtime::Donjon, Runtime::Castellan] {
            assert!(needs(runtime, &inside).iter().any(|need| need.what.contains("root]")));
        }
    }
}
