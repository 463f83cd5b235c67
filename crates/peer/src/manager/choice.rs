//! Which of several brokers is meant, where a command does not say.

use simopen_protocol::identity::BrokerName;

use super::words::Refusal;

/// What is known of one broker and what a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// It knows that.
    Knows,
    /// It does not.
    KnowsNot,
    /// It cannot be asked and has not told before, for this reason.
    Nothing(String),
}

/// From when an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Whatever the broker has told, though the link may be gone by now.
    Before,
    /// From now, where the broker can be asked.
    Now,
}

/// What a command is about.
pub(super) struct Object<'a> {
    /// In words.
    pub(super) name: String,
    /// How it is written together with a broker.
    pub(super) at: &'a (dyn Fn(&BrokerName) -> String + Sync),
}

/// The position of the one broker that is meant. A broker that says nothing may know the same name:
/// then nothing is done at another one on the quiet.
pub(super) fn choose(all: &[(BrokerName, Says)], object: &Object<'_>) -> Result<usize, Refusal> {
    let Object { name, at } = object;
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    for (position, (broker, says)) in all.iter().enumerate() {
        match says {
            Says::Knows => found.push((position, broker)),
            Says::KnowsNot => {}
            Says::Nothing(why) => silent.push((broker, why.as_str())),
        }
    }
    let reasons = || silent.iter().map(|(_, why)| *why).collect::<Vec<_>>().join("; ");
    match (found.as_slice(), silent.as_slice()) {
        ([(position, _)], []) => Ok(*position),
        ([], _) => {
            let names: Vec<&str> = all.iter().map(|(broker, _)| broker.as_str()).collect();
            let why = format!("none of your brokers ({}) knows {name}", names.join(", "));
            Err(Refusal::failed(if silent.is_empty() {
                why
            } else {
                format!("{why}; {}", reasons())
            }))
        }
        ([(_, broker)], [_, ..]) => {
            let others: Vec<&str> = silent.iter().map(|(broker, _)| broker.as_str()).collect();
            Err(Refusal::not_tried(format!(
                "{broker} knows {name}, but {} cannot be asked, and may know it too; write {} if \
                 that is meant ({})",
                others.join(" and "),
                at(broker),
                reasons()
            )))
        }
        ([_, _, ..], _) => {
            let names: Vec<String> = found.iter().map(|(_, broker)| at(broker)).collect();
            Err(Refusal::not_tried(format!(
                "{name} is known at several of your brokers; write {}",
                names.join(" or ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(all: &[(&str, Says)]) -> Result<usize, String> {
        let all: Vec<_> =
            all.iter().map(|(name, says)| (name.parse().unwrap(), says.clone())).collect();
        let object = Object { name: "bob".to_owned(), at: &|broker| format!("bob@{broker}") };
        choose(&all, &object).map_err(|refusal| refusal.why)
    }

    #[test]
    fn the_only_broker_that_knows_a_name_is_meant_where_all_could_be_asked() {
        assert_eq!(chosen(&[("home", Says::KnowsNot), ("work", Says::Knows)]), Ok(1));
        let several = chosen(&[("home", Says::Knows), ("work", Says::Knows)]).unwrap_err();
        assert!(several.ends_with("write bob@home or bob@work"), "{several}");
    }

    #[test]
    fn a_broker_that_cannot_be_asked_makes_a_bare_name_unclear() {
        let down = || Says::Nothing("not logged in at work: down".to_owned());
        let unclear = chosen(&[("home", Says::Knows), ("work", down())]).unwrap_err();
        assert!(unclear.contains("work cannot be asked"), "{unclear}");
        assert!(unclear.contains("write bob@home"), "{unclear}");
        assert!(unclear.contains("not logged in at work: down"), "{unclear}");
        let unknown = chosen(&[("home", Says::KnowsNot), ("work", down())]).unwrap_err();
        assert!(unknown.starts_with("none of your brokers (home, work) knows bob"), "{unknown}");
        assert!(unknown.ends_with("not logged in at work: down"), "{unknown}");
    }
}
