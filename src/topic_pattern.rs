//! Owns patterns of topic names: what of the syntax of regular expressions they may use, and which names they match.
//!
//! Must not know where names come from. Names are ASCII and short, so that a machine that looks at each character once is
//! all that is needed: the work is bounded by the length of the name times that of the pattern.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::iter::Peekable;
use core::str::Chars;

/// The longest machine that a pattern may make.
const INSTRUCTIONS_MAX: usize = 2_000;
/// How deep groups may lie in each other.
const DEPTH_MAX: u32 = 30;

/// A pattern of topic names: a regular expression that the whole name must match.
///
/// Of the syntax that brokers take (RE2) it knows characters, `.`, classes (`[a-z]`, `[^-_]`, `\d`, `\w`, `\s` and their
/// opposites), groups, `|`, and repetitions (`*`, `+`, `?`, `{2}`, `{2,}`, `{2,5}`); `^` and `$` may stand at the ends.
///
/// ```
/// use klamm::TopicPattern;
///
/// let pattern = TopicPattern::parse(r"orders-(eu|us)-\d+")?;
/// assert!(pattern.matches("orders-eu-7"));
/// assert!(!pattern.matches("old-orders-eu-7"));
/// # Ok::<(), klamm::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    text: String,
    machine: Vec<Instruction>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    why: &'static str,
    pattern: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pattern `{}`: {}", self.pattern, self.why)
    }
}

impl core::error::Error for PatternError {}

/// Characters, each a bit: those of topic names are ASCII.
type Characters = u128;

const DIGITS: Characters = range('0', '9');
const WORD: Characters = DIGITS | range('a', 'z') | range('A', 'Z') | one('_');
const SPACE: Characters = one(' ') | one('\t') | one('\n') | one('\r');

const fn one(c: char) -> Characters {
    match c as u32 {
        code @ 0..=127 => 1 << code,
        _ => 0,
    }
}

const fn range(from: char, to: char) -> Characters {
    let (mut code, mut all) = (from as u32, 0);
    while code <= to as u32 && code < 128 {
        all |= 1 << code;
        code += 1;
    }
    all
}

#[derive(Clone, Debug)]
enum Node {
    One(Characters),
    Start,
    End,
    Row(Vec<Self>),
    Either(Vec<Self>),
    Repeat {
        what: Box<Self>,
        least: u32,
        most: Option<u32>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    /// One of these characters.
    One(Characters),
    /// Both ways at once.
    Fork(usize, usize),
    Go(usize),
    /// Only at the beginning of the name.
    Start,
    /// Only at its end.
    End,
    Matched,
}

impl TopicPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The text is no regular expression, uses what is not known here, or makes too much of repetitions.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let failed = |why| PatternError {
            why,
            pattern: crate::error::printable(text).to_string(),
        };
        let mut parser = Parser {
            rest: text.chars().peekable(),
            depth: 0,
        };
        let node = parser.either().map_err(failed)?;
        if parser.rest.next().is_some() {
            return Err(failed("`)` without `(`"));
        }
        let mut machine = Vec::new();
        compile(&node, &mut machine).map_err(failed)?;
        machine.push(Instruction::Matched);
        let text = text.into();
        Ok(Self { text, machine })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut now = Threads::new(self.machine.len());
        let mut next = Threads::new(self.machine.len());
        let last = name.chars().count();
        self.follow(0, 0 == last, true, &mut now);
        for (index, c) in name.chars().enumerate() {
            let is_last = index.saturating_add(1) == last;
            next.clear();
            for place in &now.places {
                if let Some(Instruction::One(set)) = self.machine.get(*place)
                    && set & one(c) != 0
                {
                    self.follow(place.saturating_add(1), is_last, false, &mut next);
                }
            }
            core::mem::swap(&mut now, &mut next);
        }
        now.places
            .iter()
            .any(|place| self.machine.get(*place) == Some(&Instruction::Matched))
    }

    /// Goes on from a place as far as that takes no character.
    fn follow(&self, place: usize, at_end: bool, at_start: bool, threads: &mut Threads) {
        let mut open = alloc::vec![place];
        while let Some(place) = open.pop() {
            let (Some(instruction), true) = (self.machine.get(place), threads.enter(place)) else {
                continue;
            };
            match instruction {
                Instruction::Fork(one, other) => open.extend([*one, *other]),
                Instruction::Go(to) => open.push(*to),
                Instruction::Start if at_start => open.push(place.saturating_add(1)),
                Instruction::End if at_end => open.push(place.saturating_add(1)),
                Instruction::Start | Instruction::End => {}
                Instruction::One(_) | Instruction::Matched => threads.places.push(place),
            }
        }
    }
}

/// Where the machine is: at several places at once.
struct Threads {
    places: Vec<usize>,
    entered: Vec<bool>,
}

impl Threads {
    fn new(size: usize) -> Self {
        Self {
            places: Vec::new(),
            entered: alloc::vec![false; size],
        }
    }

    fn clear(&mut self) {
        self.places.clear();
        self.entered.fill(false);
    }

    /// Whether it was not there before.
    fn enter(&mut self, place: usize) -> bool {
        self.entered
            .get_mut(place)
            .is_some_and(|entered| !core::mem::replace(entered, true))
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    depth: u32,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<Node, &'static str> {
        let mut ways = alloc::vec![self.row()?];
        while self.rest.next_if_eq(&'|').is_some() {
            ways.push(self.row()?);
        }
        Ok(Node::Either(ways))
    }

    fn row(&mut self) -> Result<Node, &'static str> {
        let mut row = Vec::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let node = self.single(c)?;
            row.push(self.repeated(node)?);
        }
        Ok(Node::Row(row))
    }

    fn single(&mut self, c: char) -> Result<Node, &'static str> {
        Ok(match c {
            '.' => Node::One(Characters::MAX),
            '^' => Node::Start,
            '$' => Node::End,
            '(' => return self.group(),
            '[' => Node::One(self.class()?),
            '\\' => Node::One(self.escaped()?),
            '*' | '+' | '?' => return Err("a repetition of nothing"),
            c => Node::One(one(c)),
        })
    }

    fn group(&mut self) -> Result<Node, &'static str> {
        if self.rest.next_if_eq(&'?').is_some() && self.rest.next_if_eq(&':').is_none() {
            return Err("of the groups that begin with `(?` only `(?:` is known");
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH_MAX {
            return Err("groups lie too deep in each other");
        }
        let node = self.either()?;
        self.depth = self.depth.saturating_sub(1);
        self.rest.next_if_eq(&')').ok_or("`(` without `)`")?;
        Ok(node)
    }

    fn repeated(&mut self, node: Node) -> Result<Node, &'static str> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.rest.next();
                let bounds = self.bounds()?;
                return self.repeat(node, bounds);
            }
            Some(_) | None => return Ok(node),
        };
        self.rest.next();
        self.repeat(node, (least, most))
    }

    fn repeat(
        &mut self,
        node: Node,
        (least, most): (u32, Option<u32>),
    ) -> Result<Node, &'static str> {
        // Whether it takes as much or as little as it can is nothing to a whole name.
        self.rest.next_if_eq(&'?');
        if matches!(self.rest.peek(), Some('*' | '+' | '?' | '{')) {
            return Err("a repetition of a repetition");
        }
        let what = Box::new(node);
        Ok(Node::Repeat { what, least, most })
    }

    /// After `{`.
    fn bounds(&mut self) -> Result<(u32, Option<u32>), &'static str> {
        let wrong = "after `{` come one or two numbers and `}`";
        let least = self.number().ok_or(wrong)?;
        let most = match self.rest.next() {
            Some('}') => return Ok((least, Some(least))),
            Some(',') => self.number(),
            Some(_) | None => return Err(wrong),
        };
        self.rest.next_if_eq(&'}').ok_or(wrong)?;
        match most {
            Some(most) if most < least => Err("`{` with a greater number first"),
            Some(_) | None => Ok((least, most)),
        }
    }

    fn number(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok()
    }

    /// After `\`.
    fn escaped(&mut self) -> Result<Characters, &'static str> {
        Ok(match self.rest.next().ok_or("`\\` at the end")? {
            'd' => DIGITS,
            'D' => !DIGITS,
            'w' => WORD,
            'W' => !WORD,
            's' => SPACE,
            'S' => !SPACE,
            c if c.is_ascii_alphanumeric() => {
                return Err("of the letters after `\\` only d, w, s, D, W and S are known");
            }
            c => one(c),
        })
    }

    /// After `[`.
    fn class(&mut self) -> Result<Characters, &'static str> {
        let not = self.rest.next_if_eq(&'^').is_some();
        let (mut all, mut first) = (0, true);
        loop {
            let c = self.rest.next().ok_or("`[` without `]`")?;
            if c == ']' && !first {
                return Ok(if not { !all } else { all });
            }
            first = false;
            if c == '\\' {
                all |= self.escaped()?;
                continue;
            }
            if c == '[' && self.rest.peek() == Some(&':') {
                return Err("classes with names are not known");
            }
            all |= self.range_from(c)?;
        }
    }

    /// A character of a class, or all from it to another one.
    fn range_from(&mut self, from: char) -> Result<Characters, &'static str> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') {
            return Ok(one(from));
        }
        match ahead.next() {
            // Before the end of the class it is itself.
            Some(']') | None => Ok(one(from)),
            Some('\\') => Err("a range that ends with `\\`"),
            Some(to) if to < from => Err("a range that ends before it begins"),
            Some(to) => {
                self.rest = ahead;
                Ok(range(from, to))
            }
        }
    }
}

fn compile(node: &Node, machine: &mut Vec<Instruction>) -> Result<(), &'static str> {
    if machine.len() > INSTRUCTIONS_MAX {
        return Err("it makes too much of repetitions");
    }
    match node {
        Node::One(set) => machine.push(Instruction::One(*set)),
        Node::Start => machine.push(Instruction::Start),
        Node::End => machine.push(Instruction::End),
        Node::Row(row) => {
            for node in row {
                compile(node, machine)?;
            }
        }
        Node::Either(ways) => compile_either(ways, machine)?,
        Node::Repeat { what, least, most } => {
            for _ in 0..*least {
                compile(what, machine)?;
            }
            match most {
                None => {
                    // What takes no character is entered once for each, so that going round it ends.
                    let fork = placeholder(machine);
                    compile(what, machine)?;
                    machine.push(Instruction::Go(fork));
                    put(machine, fork, |after| {
                        Instruction::Fork(fork.saturating_add(1), after)
                    });
                }
                Some(most) => {
                    let mut forks = Vec::new();
                    for _ in *least..*most {
                        forks.push(placeholder(machine));
                        compile(what, machine)?;
                    }
                    for fork in forks {
                        put(machine, fork, |after| {
                            Instruction::Fork(fork.saturating_add(1), after)
                        });
                    }
                }
            }
        }
    }
    Ok(())
}

fn compile_either(ways: &[Node], machine: &mut Vec<Instruction>) -> Result<(), &'static str> {
    let mut ends = Vec::new();
    for (index, way) in ways.iter().enumerate() {
        if index.saturating_add(1) == ways.len() {
            compile(way, machine)?;
            continue;
        }
        let fork = placeholder(machine);
        compile(way, machine)?;
        ends.push(placeholder(machine));
        put(machine, fork, |after| {
            Instruction::Fork(fork.saturating_add(1), after)
        });
    }
    for end in ends {
        put(machine, end, Instruction::Go);
    }
    Ok(())
}

/// A place for an instruction that is not known yet.
fn placeholder(machine: &mut Vec<Instruction>) -> usize {
    machine.push(Instruction::Matched);
    machine.len().saturating_sub(1)
}

/// Puts an instruction into its place, made of what comes after all that there is.
fn put(machine: &mut [Instruction], place: usize, make: impl FnOnce(usize) -> Instruction) {
    let after = machine.len();
    if let Some(placeholder) = machine.get_mut(place) {
        *placeholder = make(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_as_regular_expressions_do() {
        for (pattern, yes, no) in [
            ("castle", &["castle"][..], &["castles", "acastle", ""][..]),
            ("^castle$", &["castle"], &["castles"]),
            (".*", &["", "a", "castle-7"], &["\u{e9}"]),
            ("a.c", &["abc", "a.c"], &["ac", "abbc"]),
            (r"a\.c", &["a.c"], &["abc"]),
            ("a|bc|", &["a", "bc", ""], &["ab", "abc", "c"]),
            ("x(a|bc)+y", &["xay", "xabcy", "xbcbcy"], &["xy", "xaby"]),
            ("(?:ab)*", &["", "ab", "abab"], &["a", "aba"]),
            ("(a*)*", &["", "a", "aaaa"], &["b"]),
            ("(a|)+b", &["b", "aab"], &["a"]),
            ("a?b??c", &["c", "ac", "bc", "abc"], &["aac"]),
            ("a{2}", &["aa"], &["a", "aaa"]),
            ("a{2,}", &["aa", "aaaa"], &["a"]),
            ("a{0,2}b", &["b", "ab", "aab"], &["aaab"]),
            ("[a-c]+", &["abc"], &["abd", ""]),
            ("[^a-c]+", &["xyz", "-"], &["xa"]),
            ("[]a]+", &["]a"], &["b"]),
            ("[a-]+", &["a-a"], &["b"]),
            (r"[\d._-]+", &["1.2-3_4"], &["a"]),
            (r"\w+-\d{3}", &["Log_x-123"], &["Log_x-12", "a b-123"]),
            (r"\S+", &["a-b"], &["a b"]),
            (r"\D\W", &["a-"], &["1-", "ab"]),
            ("a^b", &[], &["ab", "a^b"]),
            ("a$b", &[], &["ab", "a$b"]),
            ("(^a|b$)", &["a", "b"], &["ab"]),
            ("", &[""], &["a"]),
        ] {
            let parsed = TopicPattern::parse(pattern).unwrap();
            assert_eq!(parsed.as_str(), pattern);
            for name in yes {
                assert!(parsed.matches(name), "`{pattern}` and `{name}`");
            }
            for name in no {
                assert!(!parsed.matches(name), "`{pattern}` and `{name}`");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_or_too_much_of_one_is_refused_and_why_is_said() {
        let deep = "(".repeat(31) + &")".repeat(31);
        for (pattern, why) in [
            ("(a", "`(` without `)`"),
            ("a)", "`)` without `(`"),
            ("[a", "`[` without `]`"),
            ("*a", "a repetition of nothing"),
            ("a**", "a repetition of a repetition"),
            ("a{x}", "numbers"),
            ("a{3,2}", "greater number first"),
            ("[b-a]", "ends before it begins"),
            ("[[:alpha:]]", "classes with names"),
            (r"\pL", "letters after"),
            ("a\\", "at the end"),
            ("(?i)a", "`(?`"),
            ("(a{100}){100}", "too much"),
            ("a{4294967295}", "too much"),
            ("((a{0,60}){0,60}){0,60}", "too much"),
            (deep.as_str(), "too deep"),
        ] {
            let error = TopicPattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_work_for_a_name_is_bounded_by_its_length_times_that_of_the_pattern() {
        let pattern = TopicPattern::parse("(a*)*(a*)*(a*)*b").unwrap();
        assert!(!pattern.matches(&"a".repeat(249)));
    }
}
