//! Devices that lie on others: VLANs, bridges, bonds. Interfaces go in, and advice comes out
//! where another choice would have been better. Nothing here forbids anything.

use super::interface::{Interface, Kind};

/// What is to be said of `wanted`, given all the interfaces there are.
pub(super) fn advice(wanted: &[Interface], all: &[Interface]) -> Vec<String> {
    wanted.iter().filter_map(|one| of_one(one, wanted, all)).collect()
}

fn of_one(one: &Interface, wanted: &[Interface], all: &[Interface]) -> Option<String> {
    let name = &one.name;
    let is_wanted = |other: &Interface| wanted.iter().any(|it| it.index == other.index);
    match one.layer {
        Kind::Vlan => {
            let parent = all.iter().find(|it| Some(it.index) == one.parent)?;
            is_wanted(parent).then(|| {
                format!(
                    "{name} lies on {below}, which is guarded as well: its packets are judged \
                     there already, -i {below} is enough",
                    below = parent.name
                )
            })
        }
        Kind::Bridge | Kind::Bond => {
            let below: Vec<&Interface> =
                all.iter().filter(|it| it.controller == Some(one.index)).collect();
            let names = |list: &[&Interface]| {
                list.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            let guarded: Vec<&Interface> =
                below.iter().copied().filter(|it| is_wanted(it)).collect();
            if !guarded.is_empty() {
                return Some(format!(
                    "{name} lies on {}, guarded as well: name {name} or what is below, not both",
                    names(&guarded)
                ));
            }
            (one.layer == Kind::Bridge && !below.is_empty()).then(|| {
                format!(
                    "{name} is a bridge, which has generic mode only; its packets come in by {}: \
                     name those with -i for native mode",
                    names(&below)
                )
            })
        }
        Kind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Interface, Kind, advice};

    fn interface(index: u32, name: &str, layer: Kind, on: Option<u32>) -> Interface {
        let mut interface = Interface::of_test(index, name);
        interface.layer = layer;
        if layer == Kind::Vlan {
            interface.parent = on;
        } else {
            interface.controller = on;
        }
        interface
    }

    #[test]
    fn only_a_choice_that_could_be_better_is_talked_about() {
        let card = interface(2, "eth0", Kind::Other, Some(4));
        let vlan = interface(3, "br0.5", Kind::Vlan, Some(4));
        let bridge = interface(4, "br0", Kind::Bridge, None);
        let all = [card.clone(), vlan.clone(), bridge.clone()];
        let say = |wanted: &[&Interface]| {
            advice(&wanted.iter().copied().cloned().collect::<Vec<_>>(), &all).join("\n")
        };
        assert_eq!(say(&[&card]), "");
        assert_eq!(say(&[&vlan]), "");
        assert_eq!(say(&[&card, &vlan]), "");
        assert!(say(&[&bridge]).contains("come in by eth0"));
        assert!(say(&[&bridge, &card]).contains("not both"));
        assert!(say(&[&bridge, &vlan]).contains("br0.5 lies on br0"));
    }

    #[test]
    fn a_bond_is_the_right_choice_and_its_members_beside_it_are_not() {
        let bond = interface(2, "bond0", Kind::Bond, None);
        let member = interface(3, "eth0", Kind::Other, Some(2));
        let all = [bond.clone(), member.clone()];
        assert!(advice(std::slice::from_ref(&bond), &all).is_empty());
        assert_eq!(advice(&[bond, member], &all).len(), 1);
    }
}
