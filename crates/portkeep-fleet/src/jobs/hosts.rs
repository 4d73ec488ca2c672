//! Lists of hosts, as Slurm writes them: `n[1-3,07-09],login`.

use portkeep_fleet_core::data::Name;

use crate::error::{Error, Result};

/// No list has more: a slip such as `n[1-9999999999]` must not take all memory.
const MAX_HOSTS: usize = 100_000;

/// The hosts of a list, each once, in its order.
///
/// # Errors
///
/// If it is not a list of hosts, or names none.
pub fn parse(list: &str) -> Result<Vec<Name>> {
    let mut hosts: Vec<Name> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for item in split(list)? {
        for text in expand(&item).map_err(|error| wrong(list, &error))? {
            let host: Name = text
                .parse()
                .map_err(|error| wrong(list, &format!("'{text}': {error}")))?;
            if known.insert(host.clone()) {
                hosts.push(host);
            }
            if hosts.len() > MAX_HOSTS {
                return Err(wrong(list, "it names too many hosts"));
            }
        }
    }
    if hosts.is_empty() {
        return Err(wrong(list, "it names no host"));
    }
    Ok(hosts)
}

fn wrong(list: &str, why: &str) -> Error {
    Error::usage(format!("'{list}' is not a list of hosts: {why}"))
        .with_hint("write host1,host2 or, as Slurm does, n[1-3,7]")
}

/// At commas outside brackets.
fn split(list: &str) -> Result<Vec<String>> {
    let (mut items, mut item, mut inside) = (Vec::new(), String::new(), false);
    for character in list.chars() {
        match character {
            '[' if inside => return Err(wrong(list, "a '[' is inside another")),
            ']' if !inside => return Err(wrong(list, "a ']' has no '['")),
            '[' | ']' => {
                inside = character == '[';
                item.push(character);
            }
            ',' if !inside => items.push(std::mem::take(&mut item)),
            _ => item.push(character),
        }
    }
    if inside {
        return Err(wrong(list, "a '[' is not closed"));
    }
    items.push(item);
    let items = items.into_iter().map(|item| item.trim().to_owned());
    Ok(items.filter(|item| !item.is_empty()).collect())
}

/// Each bracket in turn; an item may have several, as in `rack[1-2]n[1-4]`.
fn expand(item: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = item.split_once('[') else {
        return Ok(vec![item.to_owned()]);
    };
    let Some((ranges, after)) = rest.split_once(']') else {
        return Err("a '[' is not closed".to_owned());
    };
    let after = expand(after)?;
    let mut all = Vec::new();
    for number in numbers(ranges)? {
        if all.len() + after.len() > MAX_HOSTS {
            return Err("it names too many hosts".to_owned());
        }
        all.extend(after.iter().map(|after| format!("{before}{number}{after}")));
    }
    Ok(all)
}

/// With the leading zeros of the first one.
fn numbers(ranges: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for range in ranges.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let parse = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (Some(from), Some(to)) = (parse(first), parse(last)) else {
            return Err(format!("'{range}' is no range of numbers"));
        };
        if to < from || to - from >= MAX_HOSTS as u64 {
            return Err(format!("'{range}' is no range of numbers"));
        }
        all.extend((from..=to).map(|number| format!("{number:0width$}", width = first.len())));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (list, hosts) in [
            ("host1", "host1"),
            ("host1,host2,host1", "host1 host2"),
            ("n[1-3,7]", "n1 n2 n3 n7"),
            ("n[08-11],login", "n08 n09 n10 n11 login"),
            ("r[1-2]n[1-2]-ib", "r1n1-ib r1n2-ib r2n1-ib r2n2-ib"),
            (" a , b,", "a b"),
        ] {
            let parsed = parse(list).expect(list);
            let parsed: Vec<_> = parsed.iter().map(Name::as_str).collect();
            assert_eq!(parsed.join(" "), hosts, "{list}");
        }
        for list in [
            "",
            ",",
            "n[",
            "n]",
            "n[[1]]",
            "n[a]",
            "n[2-1]",
            "n[1-]",
            "n[]",
            "a/b",
            "n[1-99999999]",
            "n[1-1000][1-1000]",
            "n[18446744073709551616]",
        ] {
            parse(list).expect_err(list);
        }
    }
}
