//! Says what is wrong: from what the processes say now, and from what changed in the last minutes.
//!
//! Rule of this file: it is a pure function of the samples. One cause is one finding; what follows from it is named with
//! it and is no finding of its own.

use super::samples::{Answer, Count, Counts, FIVE_MINUTES, Figures, Gauges, MINUTE, Reading};
use crate::domain::Timestamp;
use crate::telemetry::ComponentStatus;
use serde::Serialize;
use serde_json::{Value, json};

/// The objective for the age at commit, in seconds.
const LATE: f64 = 5.0;
/// Events are late from this lag on, in seconds.
const EVENTS_LATE: f64 = 300.0;
/// So many dead-lettered messages in five minutes are a burst.
const BURST: f64 = 20.0;
/// The share of requests answered 5xx from which they are a finding.
const FAILING_SHARE: f64 = 0.01;
/// The share of `broker.max_waiting` from which the publisher is full.
const FULL: f64 = 0.9;
/// So many samples must see no worker: an idle worker opens a new connection now and then.
const WITHOUT_CONSUMERS: usize = 3;

/// What can be wrong, in the order in which an operator treats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    DatabaseDown,
    /// Before the loss of the connection: a publisher leaves a broker whose queue refuses everything.
    QueueFull,
    BrokerDown,
    BrokerBlocked,
    SchemaOld,
    PublisherFull,
    ConsumersPaused,
    NoConsumers,
    TargetUnreachable,
    DeadLettersBurst,
    RequestsFail,
    BacklogGrows,
    DataLate,
    EventsLate,
    ComponentNotReady,
    DeadLettersWait,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Somebody must act now.
    Critical,
    /// It can wait for the morning.
    Warning,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) severity: Severity,
    /// When the console first saw it.
    pub(super) since: Timestamp,
    /// The values for its sentence.
    pub(super) values: Value,
    /// The section of the runbook.
    pub(super) runbook: &'static str,
    /// What follows from it.
    pub(super) consequences: Vec<Code>,
}

/// The state in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Changes are accepted and applied.
    Working,
    /// They are, but not all of them, or not as they should be.
    Impaired,
    /// Changes are not accepted, or not applied.
    Stopped,
    /// There is no sample yet, or no producer, consumer or standalone is known.
    #[default]
    Unknown,
}

/// What the diagnosis looks at.
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    pub(super) readings: Vec<Reading>,
    pub(super) figures: Figures,
    /// What changed in the last 15 s, in the last minute, and in the last five.
    pub(super) newest: Counts,
    pub(super) minute: Counts,
    pub(super) five_minutes: Counts,
    /// The values of the last five minutes, the newest last.
    pub(super) work: Vec<Option<f64>>,
    pub(super) consumers: Vec<Option<f64>>,
    pub(super) dead_letters: Vec<Option<f64>>,
}

impl Code {
    const ALL: [Self; 16] = [
        Self::DatabaseDown,
        Self::QueueFull,
        Self::BrokerDown,
        Self::BrokerBlocked,
        Self::SchemaOld,
        Self::PublisherFull,
        Self::ConsumersPaused,
        Self::NoConsumers,
        Self::TargetUnreachable,
        Self::DeadLettersBurst,
        Self::RequestsFail,
        Self::BacklogGrows,
        Self::DataLate,
        Self::EventsLate,
        Self::ComponentNotReady,
        Self::DeadLettersWait,
    ];

    /// The section of the runbook.
    const fn runbook(self) -> &'static str {
        match self {
            Self::DatabaseDown => "contactsdatabasedown",
            Self::QueueFull | Self::PublisherFull | Self::RequestsFail => "contactsacceptbudgetburnfast",
            Self::BrokerDown => "contactsbrokerdown",
            Self::BrokerBlocked => "contactsbrokerblocked",
            Self::SchemaOld => "contactsschemamismatch",
            Self::ConsumersPaused | Self::NoConsumers => "contactsconsumerdown",
            Self::TargetUnreachable => "contactsprocessdown",
            Self::DeadLettersBurst => "contactsdeadletterburst",
            Self::BacklogGrows => "contactsfallingbehind",
            Self::DataLate => "contactslatebudgetburnfast",
            Self::EventsLate => "contactseventslate",
            Self::ComponentNotReady => "reading-readyz",
            Self::DeadLettersWait => "contactsdeadletterswaiting",
        }
    }

    /// Whether changes are not accepted or not applied, if all processes have it.
    const fn stops_changes(self) -> bool {
        match self {
            Self::DatabaseDown
            | Self::QueueFull
            | Self::BrokerDown
            | Self::BrokerBlocked
            | Self::SchemaOld
            | Self::PublisherFull
            | Self::ConsumersPaused
            | Self::NoConsumers => true,
            Self::TargetUnreachable
            | Self::DeadLettersBurst
            | Self::RequestsFail
            | Self::BacklogGrows
            | Self::DataLate
            | Self::EventsLate
            | Self::ComponentNotReady
            | Self::DeadLettersWait => false,
        }
    }

    const fn severity(self) -> Severity {
        match self {
            Self::TargetUnreachable | Self::DeadLettersBurst => Severity::Critical,
            _ if self.stops_changes() => Severity::Critical,
            _ => Severity::Warning,
        }
    }

    /// What it follows from, if that is found, too.
    const fn causes(self) -> &'static [Self] {
        match self {
            Self::BrokerDown => &[Self::QueueFull],
            Self::PublisherFull => &[Self::QueueFull, Self::BrokerDown, Self::BrokerBlocked],
            Self::ConsumersPaused => &[Self::DatabaseDown, Self::SchemaOld],
            Self::NoConsumers => &[Self::DatabaseDown, Self::BrokerDown, Self::SchemaOld, Self::ConsumersPaused],
            Self::RequestsFail => &[
                Self::DatabaseDown,
                Self::QueueFull,
                Self::BrokerDown,
                Self::BrokerBlocked,
                Self::SchemaOld,
                Self::PublisherFull,
            ],
            Self::BacklogGrows => &[
                Self::DatabaseDown,
                Self::BrokerDown,
                Self::BrokerBlocked,
                Self::SchemaOld,
                Self::ConsumersPaused,
                Self::NoConsumers,
            ],
            Self::DataLate => &[
                Self::DatabaseDown,
                Self::BrokerDown,
                Self::BrokerBlocked,
                Self::SchemaOld,
                Self::ConsumersPaused,
                Self::NoConsumers,
                Self::BacklogGrows,
            ],
            Self::EventsLate => &[Self::DatabaseDown, Self::BrokerDown, Self::BrokerBlocked],
            Self::ComponentNotReady => &[
                Self::DatabaseDown,
                Self::QueueFull,
                Self::BrokerDown,
                Self::BrokerBlocked,
                Self::SchemaOld,
                Self::ConsumersPaused,
            ],
            Self::DeadLettersWait => &[Self::DeadLettersBurst],
            Self::DatabaseDown
            | Self::QueueFull
            | Self::BrokerBlocked
            | Self::SchemaOld
            | Self::TargetUnreachable
            | Self::DeadLettersBurst => &[],
        }
    }
}

/// Everything that is wrong, the worst first. `at` is the time of the sample.
pub(super) fn find(observation: &Observation, at: Timestamp) -> Vec<Finding> {
    let finding = |code: Code| {
        Some(Finding {
            code,
            severity: code.severity(),
            since: at,
            values: observation.check(code)?,
            runbook: code.runbook(),
            consequences: Vec::new(),
        })
    };
    Code::ALL.into_iter().filter_map(finding).collect()
}

/// Moves each finding that follows from another one to its cause.
pub(super) fn hide_consequences(all: Vec<Finding>) -> Vec<Finding> {
    let mut causes: Vec<Finding> = Vec::new();
    for finding in all {
        match causes.iter_mut().find(|cause| finding.code.causes().contains(&cause.code)) {
            Some(cause) => cause.consequences.push(finding.code),
            None => causes.push(finding),
        }
    }
    causes
}

impl Observation {
    /// The state that follows from all findings.
    pub(super) fn state(&self, findings: &[Finding]) -> State {
        let stops = |finding: &Finding| {
            let number = |name: &str| finding.values.get(name).and_then(Value::as_u64);
            finding.code.stops_changes() && number("processes") == number("of")
        };
        // A console alone knows the queues and the database, but not whether changes are accepted and applied.
        let knows_a_role = self.answers().any(|(_, answer)| answer.exposition.role != "console");
        if findings.iter().any(stops) {
            State::Stopped
        } else if findings.iter().any(|finding| finding.code != Code::DeadLettersWait) {
            State::Impaired
        } else if knows_a_role {
            State::Working
        } else {
            State::Unknown
        }
    }

    /// The values of a finding, if it is one.
    fn check(&self, code: Code) -> Option<Value> {
        match code {
            Code::DatabaseDown => {
                let reason = self.first_reason(&["database"]).map(|why| why.trim_start_matches("paused: ").to_owned());
                let reason = reason.or_else(|| self.answers().find_map(|(_, answer)| answer.database_error.clone()));
                self.processes(|gauges| gauges.database_up, |up| up == 0.0, reason)
            }
            Code::QueueFull => {
                let refused = self.minute.get(&Count::Refused).copied().filter(|refused| *refused > 0.0)?;
                if self.is_over(&Count::Refused, &Count::Accepted) {
                    return None;
                }
                let reason = self.not_ready().find_map(|(_, component)| component.reason.clone());
                Some(json!({ "count": refused, "reason": reason }))
            }
            Code::BrokerDown => {
                let reason = self.first_reason(&["queue", "publisher"]);
                self.processes(|gauges| gauges.connected, |connected| connected == 0.0, reason)
            }
            Code::BrokerBlocked => {
                let reason = self.first_reason(&["queue", "publisher"]);
                self.processes(|gauges| gauges.blocked, |blocked| blocked == 1.0, reason)
            }
            Code::SchemaOld => self.processes(|gauges| gauges.schema_current, |current| current == 0.0, None),
            Code::PublisherFull => self.publisher_full(),
            Code::ConsumersPaused => {
                let reason = self.first_reason(&["database"]).map(|why| why.trim_start_matches("paused: ").to_owned());
                self.processes(|gauges| gauges.paused, |paused| paused > 0.0, reason)
            }
            Code::NoConsumers => {
                let last = self.consumers.iter().rev().take(WITHOUT_CONSUMERS);
                let gone = self.consumers.len() >= WITHOUT_CONSUMERS && last.into_iter().all(|one| *one == Some(0.0));
                let waiting = self.figures.gauges.work.filter(|messages| gone && *messages > 0.0)?;
                Some(json!({ "messages": waiting }))
            }
            Code::TargetUnreachable => self.unreachable(),
            Code::DeadLettersBurst => self.burst(),
            Code::RequestsFail => self.failing_requests(),
            Code::BacklogGrows => self.growing_backlog(),
            Code::DataLate => {
                let (p99, oldest) = (self.figures.age_p99, self.figures.gauges.oldest_unapplied);
                let late = p99.is_some_and(|age| age > LATE) || oldest.is_some_and(|age| age > LATE);
                late.then(|| json!({ "p99": p99, "oldest": oldest }))
            }
            Code::EventsLate => {
                let lag = self.figures.gauges.events_lag.filter(|lag| *lag > EVENTS_LATE)?;
                Some(json!({ "lag": lag }))
            }
            Code::ComponentNotReady => {
                let mut all = self.not_ready();
                let (process, component) = all.next()?;
                Some(json!({
                    "process": process, "component": component.name, "reason": component.reason, "count": 1 + all.count(),
                }))
            }
            Code::DeadLettersWait => {
                let Gauges { dead_letters, oldest_dead_letter, .. } = self.figures.gauges;
                let count = dead_letters.filter(|count| *count > 0.0)?;
                Some(json!({ "count": count, "oldest": oldest_dead_letter }))
            }
        }
    }

    /// The processes that answered.
    fn answers(&self) -> impl Iterator<Item = (&str, &Answer)> {
        self.readings.iter().filter_map(|reading| Some((reading.name.as_str(), reading.answer.as_ref().ok()?)))
    }

    /// How many processes have a bad value, of those that have this gauge.
    fn processes(
        &self,
        gauge: fn(&Gauges) -> Option<f64>,
        is_bad: fn(f64) -> bool,
        reason: Option<String>,
    ) -> Option<Value> {
        let known: Vec<f64> = self.answers().filter_map(|(_, answer)| gauge(&answer.exposition.gauges)).collect();
        let bad = known.iter().filter(|value| is_bad(**value)).count();
        (bad > 0).then(|| json!({ "processes": bad, "of": known.len(), "reason": reason }))
    }

    /// Whether what failed in the last minute succeeds now. Without a new try nobody knows.
    fn is_over(&self, failures: &Count, tries: &Count) -> bool {
        let newest = |count| self.newest.get(count).copied().unwrap_or_default();
        newest(failures) == 0.0 && newest(tries) > 0.0
    }

    /// The components that are not ready, each with the name of its process.
    fn not_ready(&self) -> impl Iterator<Item = (&str, &ComponentStatus)> {
        let of = |(name, answer)| {
            let answer: &Answer = answer;
            answer.components.iter().filter(|component| !component.ready).map(move |component| (name, component))
        };
        self.answers().flat_map(of)
    }

    fn first_reason(&self, components: &[&str]) -> Option<String> {
        let mut matching = self.not_ready().filter(|(_, component)| components.contains(&component.name.as_str()));
        matching.find_map(|(_, component)| component.reason.clone())
    }

    fn publisher_full(&self) -> Option<Value> {
        let refused = self.minute.get(&Count::NotAccepted("full".into())).copied().unwrap_or_default();
        let load = |gauges: &Gauges| Some((gauges.publish_waiting?, gauges.publish_limit?));
        let loads = self.answers().filter(|(_, answer)| answer.exposition.accepts_changes());
        let fullest = loads
            .filter_map(|(_, answer)| load(&answer.exposition.gauges))
            .max_by(|(one, limit), (other, other_limit)| (one / limit).total_cmp(&(other / other_limit)));
        let (waiting, limit) = fullest?;
        (refused > 0.0 || waiting >= FULL * limit)
            .then(|| json!({ "waiting": waiting, "limit": limit, "count": refused }))
    }

    fn unreachable(&self) -> Option<Value> {
        let failed = self.readings.iter().filter_map(|reading| Some((&reading.name, reading.answer.as_ref().err()?)));
        let failed: Vec<_> = failed.collect();
        let (name, error) = failed.first()?;
        Some(json!({ "process": name, "reason": error, "count": failed.len(), "total": self.readings.len() }))
    }

    fn burst(&self) -> Option<Value> {
        let counted = self.five_minutes.iter().filter_map(|(count, messages)| match count {
            Count::DeadLettered(reason) if *messages > 0.0 => Some((reason, *messages)),
            _ => None,
        });
        let counted: Vec<(&String, f64)> = counted.collect();
        let sees_consumers = self.five_minutes.keys().any(|count| matches!(count, Count::DeadLettered(_)));
        let count = if sees_consumers {
            counted.iter().map(|(_, messages)| messages).sum()
        } else {
            // No consumer is known to the console. The queue shows less: what an operator removed is not in it.
            let known = self.dead_letters.iter().flatten().copied();
            known.clone().last()? - known.reduce(f64::min)?
        };
        let most = counted.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        (count >= BURST).then(|| {
            json!({ "count": count, "reason": most.map(|(reason, _)| reason), "reason_count": most.map(|(_, count)| count) })
        })
    }

    fn failing_requests(&self) -> Option<Value> {
        let count = |count: Count| self.minute.get(&count).copied().unwrap_or_default();
        let (requests, errors) = (count(Count::Requests), count(Count::Errors));
        if errors == 0.0 || errors / requests < FAILING_SHARE || self.is_over(&Count::Errors, &Count::Requests) {
            return None;
        }
        let not_accepted = self.minute.iter().filter_map(|(count, changes)| match count {
            Count::NotAccepted(result) if *changes > 0.0 => Some((result, changes)),
            _ => None,
        });
        let reason = not_accepted.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(result, _)| result);
        Some(json!({ "share": errors / requests, "count": errors, "reason": reason }))
    }

    /// The backlog has grown in each of the last five minutes, and changes are late, as far as that is known.
    fn growing_backlog(&self) -> Option<Value> {
        if self.work.len() < FIVE_MINUTES {
            return None;
        }
        let marks = self.work.iter().step_by(MINUTE).chain(self.work.last()).copied().collect::<Option<Vec<f64>>>()?;
        let grows = marks.windows(2).all(|pair| matches!(pair, [before, after] if after > before));
        let ages = [self.figures.age_p99, self.figures.gauges.oldest_unapplied];
        let is_late = ages.iter().all(Option::is_none) || ages.iter().flatten().any(|age| *age > LATE);
        let (first, last) = (marks.first()?, marks.last()?);
        (grows && is_late).then(|| json!({ "messages": last, "per_minute": (last - first) / 5.0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::Exposition;
    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_timestamp_millis(0).unwrap()
    }

    /// A process that works.
    fn healthy(role: &str) -> Answer {
        let gauges = Gauges {
            database_up: Some(1.0),
            schema_current: Some(1.0),
            connected: Some(1.0),
            blocked: Some(0.0),
            publish_waiting: Some(0.0),
            publish_limit: Some(4096.0),
            paused: (role == "consumer").then_some(0.0),
            ..Gauges::default()
        };
        let names = if role == "consumer" { ["database", "publisher", "worker"] } else { ["process", "queue", "x"] };
        let components = names.map(|name| ComponentStatus { name: name.into(), ready: true, reason: None });
        let exposition = Exposition { role: role.into(), gauges, ..Exposition::default() };
        Answer { exposition, components: components.into(), database_error: None }
    }

    /// A producer and a consumer that work, at moderate load.
    fn working() -> Observation {
        let mut observation = Observation {
            readings: ["producer", "consumer"]
                .map(|role| Reading { name: role.into(), answer: Ok(healthy(role)) })
                .into(),
            work: vec![Some(3.0); FIVE_MINUTES],
            consumers: vec![Some(2.0); FIVE_MINUTES],
            dead_letters: vec![Some(0.0); FIVE_MINUTES],
            minute: [(Count::Requests, 600.0), (Count::Errors, 0.0), (Count::Refused, 0.0)].into_iter().collect(),
            five_minutes: [(Count::DeadLettered("invalid".into()), 1.0)].into_iter().collect(),
            ..Observation::default()
        };
        observation.figures.age_p99 = Some(0.2);
        observation.figures.gauges =
            Gauges { work: Some(3.0), dead_letters: Some(0.0), oldest_unapplied: Some(0.1), ..Gauges::default() };
        observation
    }

    impl Observation {
        fn process(&mut self, role: &str) -> &mut Answer {
            let reading = self.readings.iter_mut().find(|reading| reading.name == role).unwrap();
            reading.answer.as_mut().unwrap()
        }

        fn break_component(&mut self, role: &str, name: &str, reason: &str) {
            let all = &mut self.process(role).components;
            let component = all.iter_mut().find(|component| component.name == name).unwrap();
            *component = ComponentStatus { ready: false, reason: Some(reason.into()), ..component.clone() };
        }

        fn gauges(&mut self, role: &str) -> &mut Gauges {
            &mut self.process(role).exposition.gauges
        }

        fn pause_consumers(&mut self, reason: &str) {
            self.gauges("consumer").paused = Some(2.0);
            self.break_component("consumer", "database", &format!("paused: {reason}"));
            self.consumers = vec![Some(0.0); FIVE_MINUTES];
            self.figures.gauges.oldest_unapplied = Some(60.0);
            self.work = (0..FIVE_MINUTES).map(|count| Some(count as f64)).collect();
            self.figures.gauges.work = Some(59.0);
        }
    }

    /// The findings, each with its consequences, and the state.
    fn diagnose(observation: &Observation) -> (Vec<(Code, Vec<Code>)>, State) {
        let all = find(observation, at());
        let state = observation.state(&all);
        (hide_consequences(all).into_iter().map(|one| (one.code, one.consequences)).collect(), state)
    }

    fn values(observation: &Observation, code: Code) -> Value {
        find(observation, at()).into_iter().find(|finding| finding.code == code).unwrap().values
    }

    #[test]
    fn a_working_system_has_no_finding() {
        assert_eq!(diagnose(&working()), (vec![], State::Working));
        let mut alone = working();
        alone.readings = vec![Reading { name: "this process".into(), answer: Ok(healthy("console")) }];
        assert_eq!(diagnose(&alone), (vec![], State::Unknown));
    }

    #[test]
    fn a_database_that_is_down_explains_all_that_follows() {
        let mut down = working();
        for role in ["producer", "consumer"] {
            down.gauges(role).database_up = Some(0.0);
            down.gauges(role).schema_current = None;
        }
        down.pause_consumers("connection refused");
        down.minute.insert(Count::Errors, 100.0);
        let follows = [
            Code::ConsumersPaused,
            Code::NoConsumers,
            Code::RequestsFail,
            Code::BacklogGrows,
            Code::DataLate,
            Code::ComponentNotReady,
        ];
        assert_eq!(diagnose(&down), (vec![(Code::DatabaseDown, follows.into())], State::Stopped));
        let expected = json!({ "processes": 2, "of": 2, "reason": "connection refused" });
        assert_eq!(values(&down, Code::DatabaseDown), expected);
    }

    #[test]
    fn one_process_that_cannot_reach_the_database_stops_nothing() {
        let mut down = working();
        down.gauges("producer").database_up = Some(0.0);
        down.process("producer").database_error = Some("no route".into());
        assert_eq!(diagnose(&down), (vec![(Code::DatabaseDown, vec![])], State::Impaired));
        assert_eq!(values(&down, Code::DatabaseDown), json!({ "processes": 1, "of": 2, "reason": "no route" }));
    }

    #[test]
    fn consumers_that_pause_although_the_database_answers_are_found() {
        let mut paused = working();
        paused.pause_consumers("read-only");
        let (found, state) = diagnose(&paused);
        assert_eq!((found[0].0, found.len(), state), (Code::ConsumersPaused, 1, State::Stopped));
        assert_eq!(values(&paused, Code::ConsumersPaused)["reason"], "read-only");
    }

    #[test]
    fn a_broker_that_is_down_explains_all_that_follows() {
        let mut down = working();
        for (role, component) in [("producer", "queue"), ("consumer", "publisher")] {
            down.gauges(role).connected = Some(0.0);
            down.break_component(role, component, "connection refused");
        }
        down.break_component("consumer", "worker", "connection refused");
        down.minute.insert(Count::Errors, 600.0);
        down.minute.insert(Count::NotAccepted("disconnected".into()), 600.0);
        down.figures.gauges = Gauges::default();
        let follows = vec![Code::RequestsFail, Code::ComponentNotReady];
        assert_eq!(diagnose(&down), (vec![(Code::BrokerDown, follows)], State::Stopped));
        assert_eq!(values(&down, Code::BrokerDown)["reason"], "connection refused");
        assert_eq!(values(&down, Code::RequestsFail)["reason"], "disconnected");
    }

    #[test]
    fn an_alarm_of_the_broker_is_found() {
        let mut blocked = working();
        blocked.gauges("producer").blocked = Some(1.0);
        blocked.gauges("consumer").blocked = Some(1.0);
        blocked.break_component("producer", "queue", "the broker takes no messages: low on disk");
        let (found, state) = diagnose(&blocked);
        assert_eq!((found, state), (vec![(Code::BrokerBlocked, vec![Code::ComponentNotReady])], State::Stopped));
    }

    #[test]
    fn a_full_queue_is_found_although_the_publisher_loses_its_connection() {
        let mut full = working();
        full.minute.insert(Count::Refused, 50.0);
        full.minute.insert(Count::NotAccepted("refused".into()), 50.0);
        full.minute.insert(Count::Errors, 50.0);
        full.gauges("producer").connected = Some(0.0);
        full.break_component("producer", "queue", "queue contato refuses every message; it may be full");
        let follows = vec![Code::BrokerDown, Code::RequestsFail, Code::ComponentNotReady];
        assert_eq!(diagnose(&full), (vec![(Code::QueueFull, follows)], State::Stopped));
        let reason = "queue contato refuses every message; it may be full";
        assert_eq!(values(&full, Code::QueueFull), json!({ "count": 50.0, "reason": reason }));
    }

    #[test]
    fn what_failed_is_over_when_it_succeeds_again() {
        let mut over = working();
        over.minute.insert(Count::Refused, 50.0);
        over.minute.insert(Count::Errors, 50.0);
        let found = vec![(Code::QueueFull, vec![Code::RequestsFail])];
        assert_eq!(diagnose(&over), (found.clone(), State::Stopped), "nobody has tried since then");
        over.newest =
            [(Count::Refused, 0.0), (Count::Accepted, 9.0), (Count::Errors, 0.0), (Count::Requests, 9.0)].into();
        assert_eq!(diagnose(&over), (vec![], State::Working));
        over.newest.extend([(Count::Refused, 1.0), (Count::Errors, 1.0)]);
        assert_eq!(diagnose(&over), (found, State::Stopped), "some are still refused");
    }

    #[test]
    fn a_publisher_near_its_limit_is_found() {
        let mut full = working();
        full.gauges("producer").publish_waiting = Some(3_700.0);
        assert_eq!(diagnose(&full), (vec![(Code::PublisherFull, vec![])], State::Stopped));
        // A consumer may publish as many as it likes.
        let mut busy = working();
        busy.gauges("consumer").publish_waiting = Some(4_096.0);
        assert_eq!(diagnose(&busy).0, []);
    }

    #[test]
    fn an_old_schema_is_found() {
        let mut old = working();
        old.gauges("producer").schema_current = Some(0.0);
        old.gauges("consumer").schema_current = Some(0.0);
        assert_eq!(diagnose(&old), (vec![(Code::SchemaOld, vec![])], State::Stopped));
    }

    #[test]
    fn messages_without_a_consumer_are_found_after_some_samples() {
        let mut gone = working();
        *gone.consumers.last_mut().unwrap() = Some(0.0);
        assert_eq!(diagnose(&gone).0, [], "a worker may connect anew");
        gone.consumers = vec![Some(0.0); WITHOUT_CONSUMERS];
        assert_eq!(diagnose(&gone), (vec![(Code::NoConsumers, vec![])], State::Stopped));
        gone.figures.gauges.work = Some(0.0);
        assert_eq!(diagnose(&gone).0, [], "nothing waits");
    }

    #[test]
    fn a_process_that_does_not_answer_is_found() {
        let mut dead = working();
        dead.readings[1].answer = Err("connection refused".into());
        assert_eq!(diagnose(&dead), (vec![(Code::TargetUnreachable, vec![])], State::Impaired));
        let expected = json!({ "process": "consumer", "reason": "connection refused", "count": 1, "total": 2 });
        assert_eq!(values(&dead, Code::TargetUnreachable), expected);
    }

    #[test]
    fn a_burst_of_dead_letters_names_its_most_frequent_reason() {
        let mut burst = working();
        burst.five_minutes.insert(Count::DeadLettered("undecodable".into()), 40.0);
        burst.figures.gauges.dead_letters = Some(41.0);
        let found = vec![(Code::DeadLettersBurst, vec![Code::DeadLettersWait])];
        assert_eq!(diagnose(&burst), (found, State::Impaired));
        let expected = json!({ "count": 41.0, "reason": "undecodable", "reason_count": 40.0 });
        assert_eq!(values(&burst, Code::DeadLettersBurst), expected);
    }

    #[test]
    fn without_a_known_consumer_a_burst_is_seen_in_the_queue() {
        let mut burst = working();
        burst.five_minutes.clear();
        burst.dead_letters = vec![Some(5.0), None, Some(30.0)];
        assert_eq!(
            values(&burst, Code::DeadLettersBurst),
            json!({ "count": 25.0, "reason": null, "reason_count": null })
        );
    }

    #[test]
    fn dead_letters_that_wait_are_a_warning_and_the_system_works() {
        let mut waiting = working();
        (waiting.figures.gauges.dead_letters, waiting.figures.gauges.oldest_dead_letter) = (Some(3.0), Some(60.0));
        assert_eq!(diagnose(&waiting), (vec![(Code::DeadLettersWait, vec![])], State::Working));
        assert_eq!(values(&waiting, Code::DeadLettersWait), json!({ "count": 3.0, "oldest": 60.0 }));
    }

    #[test]
    fn a_backlog_that_grows_explains_late_data() {
        let mut behind = working();
        behind.work = (0..FIVE_MINUTES).map(|count| Some(10.0 * count as f64)).collect();
        assert_eq!(diagnose(&behind).0, [], "changes are not late yet");
        behind.figures.age_p99 = Some(8.0);
        assert_eq!(diagnose(&behind), (vec![(Code::BacklogGrows, vec![Code::DataLate])], State::Impaired));
        assert_eq!(values(&behind, Code::BacklogGrows), json!({ "messages": 590.0, "per_minute": 118.0 }));
        *behind.work.last_mut().unwrap() = Some(0.0);
        assert_eq!(diagnose(&behind).0, [(Code::DataLate, vec![])]);
    }

    #[test]
    fn failing_requests_late_events_and_other_components_are_warnings() {
        let mut other = working();
        other.minute.insert(Count::Errors, 5.0);
        assert_eq!(diagnose(&other).0, [], "less than one in a hundred");
        other.minute.insert(Count::Errors, 60.0);
        other.figures.gauges.events_lag = Some(400.0);
        other.break_component("producer", "x", "broken");
        let found = [Code::RequestsFail, Code::EventsLate, Code::ComponentNotReady].map(|code| (code, vec![]));
        assert_eq!(diagnose(&other), (found.into(), State::Impaired));
        assert_eq!(values(&other, Code::RequestsFail), json!({ "share": 0.1, "count": 60.0, "reason": null }));
        let expected = json!({ "process": "producer", "component": "x", "reason": "broken", "count": 1 });
        assert_eq!(values(&other, Code::ComponentNotReady), expected);
    }

    #[test]
    fn every_finding_leads_to_a_section_of_the_runbook_and_its_causes_come_first() {
        let runbook = include_str!("../../docs/OPERATIONS.md");
        let anchors: Vec<String> = runbook
            .lines()
            .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase()))
            .map(|heading| heading.replace(' ', "-").chars().filter(|c| c.is_alphanumeric() || *c == '-').collect())
            .collect();
        for code in Code::ALL {
            assert!(anchors.iter().any(|anchor| anchor == code.runbook()), "{code:?}");
            assert!(code.causes().iter().all(|cause| *cause < code), "{code:?}");
        }
    }
}
