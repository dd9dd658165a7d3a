//! A simulation of the path of a create, for planning beyond one machine. It needs no services and no clock: its time
//! is counted in steps, and the same input has the same output on every machine. `docs/SCALE.md` has its tables and says
//! where the costs are from; `tests/scale.rs` checks the rules and that the document has the current tables.
//!
//! A part (the HTTP threads of a producer, a publisher, the broker, ...) is a number of threads with a list of work. In
//! each step the threads that have work take turns on the cores of their machine. Requests have no identity: only how many of
//! them wait where is simulated.

use std::collections::VecDeque;
use std::fmt::Write as _;

/// The duration of a step, in microseconds.
const STEP: f64 = 20.0;
/// The steps of a time slice: 1.5 ms.
const SLICE: usize = 75;
/// Steps that are not counted, until the load is even: 0.25 s.
const WARM_UP: usize = 12_500;
/// Steps that are counted: 0.5 s.
const COUNTED: usize = 25_000;
/// With this many messages in flight the publisher waits for a confirm: `PACKING_THRESHOLD` of the publisher.
const PACKING_THRESHOLD: usize = 8;
/// The maximum size of a pack, in bytes.
const MAX_PACK_SIZE: usize = 32 * 1024;
/// The size of a create in a pack, in bytes.
pub const CHANGE_SIZE: usize = 490;

/// CPU time of a part, in microseconds: for a message of the broker, and for each change in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub message: f64,
    pub change: f64,
}

impl Cost {
    /// The cost of a message with this many changes.
    pub fn of(self, changes: usize) -> f64 {
        self.message + self.change * changes as f64
    }

    /// The cost for a change in a message with `pack` changes.
    pub fn each(self, pack: f64) -> f64 {
        self.message / pack + self.change
    }
}

/// The input: what a create costs in each part.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// The load generator. It uses the same cores only where all runs on one machine.
    pub client: f64,
    /// The HTTP threads: parse, log, answer.
    pub http: f64,
    /// The publisher thread and the I/O thread of the AMQP library.
    pub publisher: Cost,
    /// RabbitMQ, until it confirms.
    pub broker: Cost,
    /// RabbitMQ, to deliver and to remove after the acknowledgement.
    pub delivery: Cost,
    /// The consumer.
    pub consumer: Cost,
    /// PostgreSQL.
    pub sql: f64,
}

/// The costs that were measured.
pub const COSTS: Costs = Costs {
    client: 14.0,
    http: 51.0,
    publisher: Cost { message: 14.0, change: 5.0 },
    broker: Cost { message: 55.0, change: 10.0 },
    delivery: Cost { message: 12.0, change: 3.0 },
    consumer: Cost { message: 0.0, change: 14.0 },
    sql: 73.0,
};

/// PostgreSQL, into a table of ten million contacts.
const SQL_LARGE: f64 = 154.0;

/// Where the load comes from.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// So many connections, each with one request at a time and without a pause between two requests.
    Closed { connections: usize },
    /// So many requests a second, whatever happens to them.
    Open { per_second: f64 },
}

/// The cores that the parts run on.
#[derive(Clone, Copy, Debug)]
pub enum Cores {
    /// All parts and the load generator share these cores. No consumer runs.
    Shared(f64),
    /// Each kind of part has cores of its own. The load generator needs none.
    Apart {
        /// Of each producer.
        producer: f64,
        /// Of the node of RabbitMQ with the leader of the queue.
        broker: f64,
        /// Of all consumers together.
        consumers: f64,
        /// Of PostgreSQL.
        database: f64,
    },
}

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub load: Load,
    pub cores: Cores,
    pub producers: usize,
    pub pack_max: usize,
    /// How long the broker needs to store messages on disk, in microseconds. What arrives meanwhile is stored together, the
    /// next time. All messages that were stored together are confirmed at the same time.
    pub sync: f64,
    /// How long a confirm is on its way, in microseconds: the network between nodes, and to the publisher.
    pub network: f64,
}

/// What a simulation found. Utilisations are shares of the cores that the part may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Findings {
    pub accepted: f64,
    /// Written to PostgreSQL, a second. Less than `accepted` means that the queue grows.
    pub applied: f64,
    pub pack: f64,
    pub messages: f64,
    pub http: f64,
    pub publisher: f64,
    pub broker: f64,
    pub consumers: f64,
    pub database: f64,
}

/// How many of the changes that wait go into the next message.
pub fn pack_size(waiting: usize, pack_max: usize) -> usize {
    waiting.min(pack_max).min((MAX_PACK_SIZE / CHANGE_SIZE).max(1))
}

/// Whether the publisher, when it has nothing else to do, sends what waits: it has few messages in flight, or a confirm has
/// arrived.
pub fn may_send(pack_max: usize, in_flight: usize, confirmed: bool) -> bool {
    pack_max == 1 || in_flight < PACKING_THRESHOLD || confirmed
}

/// The cores of one machine. A thread that has work runs on a core until its time slice ends or its work does, then the
/// thread that has waited longest. So, as in an operating system, work arrives in groups where cores are few.
pub struct Processors {
    /// The share of a whole core that each core has.
    speed: f64,
    /// The part whose thread runs on each core, and how many steps it may still run.
    running: Vec<Option<(usize, usize)>>,
    /// The parts whose threads wait for a core.
    ready: VecDeque<usize>,
}

impl Processors {
    pub fn new(cores: f64) -> Self {
        let whole = cores.ceil().max(1.0);
        Self { speed: cores / whole, running: vec![None; whole as usize], ready: VecDeque::new() }
    }

    /// One step. `wanted` has the number of threads of each part that have work; the result has the CPU time of each part,
    /// in microseconds.
    pub fn step(&mut self, wanted: &[usize]) -> Vec<f64> {
        let mut missing = wanted.to_vec();
        for core in &mut self.running {
            *core = core.take_if(|(part, _)| missing[*part] > 0);
            if let Some((part, _)) = *core {
                missing[part] -= 1;
            }
        }
        self.ready.retain(|&part| {
            let wants = missing[part] > 0;
            missing[part] -= usize::from(wants);
            wants
        });
        for (part, &missing) in missing.iter().enumerate() {
            self.ready.extend(std::iter::repeat_n(part, missing.min(self.running.len())));
        }
        let mut times = vec![0.0; wanted.len()];
        for core in &mut self.running {
            if core.is_none_or(|(_, steps)| steps == 0) {
                let ended = core.take();
                self.ready.extend(ended.map(|(part, _)| part));
                *core = self.ready.pop_front().map(|part| (part, SLICE));
            }
            if let Some((part, steps)) = core {
                *steps -= 1;
                times[*part] += STEP * self.speed;
            }
        }
        times
    }
}

/// A piece of work: a message of one producer with some changes, or one request.
#[derive(Clone, Copy, Debug)]
struct Work {
    cost: f64,
    changes: usize,
    producer: usize,
}

/// A part with its work.
#[derive(Default)]
struct Part {
    threads: usize,
    waiting: VecDeque<Work>,
    /// CPU time that it has and has not used yet, because the next piece of work takes more.
    credit: f64,
    /// CPU time that it has used since the start.
    used: f64,
}

impl Part {
    fn new(threads: usize) -> Self {
        Self { threads, ..Self::default() }
    }

    fn wanted(&self) -> usize {
        self.threads.min(self.waiting.len())
    }

    fn push(&mut self, work: Work) {
        self.waiting.push_back(work);
    }

    /// Works for this CPU time, and returns what is finished.
    fn run(&mut self, time: f64) -> Vec<Work> {
        self.credit += time;
        let mut finished = Vec::new();
        while let Some(work) = self.waiting.front().copied()
            && work.cost <= self.credit
        {
            self.waiting.pop_front();
            self.credit -= work.cost;
            self.used += work.cost;
            finished.push(work);
        }
        if self.waiting.is_empty() {
            self.credit = 0.0;
        }
        finished
    }
}

/// The log of the queue on the broker's disk.
#[derive(Default)]
struct Log {
    /// How many steps it takes to store messages.
    sync: usize,
    waiting: Vec<Work>,
    /// What is being stored, and the step in which that is done.
    storing: Vec<Work>,
    done: usize,
}

impl Log {
    /// What is stored by now.
    fn stored(&mut self, step: usize) -> Vec<Work> {
        let stored = if step >= self.done { std::mem::take(&mut self.storing) } else { Vec::new() };
        if self.storing.is_empty() && !self.waiting.is_empty() {
            self.storing = std::mem::take(&mut self.waiting);
            self.done = step + self.sync;
        }
        stored
    }
}

/// A producer: its parts, and the state of its publisher.
struct Producer {
    http: Part,
    publisher: Part,
    /// Changes that wait for the publisher.
    mailbox: usize,
    in_flight: usize,
    confirmed: bool,
    processors: Processors,
}

/// Runs parts on the cores of a machine, and returns what each of them finished.
fn run_parts(processors: &mut Processors, parts: &mut [&mut Part]) -> Vec<Vec<Work>> {
    let wanted: Vec<usize> = parts.iter().map(|part| part.wanted()).collect();
    let times = processors.step(&wanted);
    parts.iter_mut().zip(times).map(|(part, time)| part.run(time)).collect()
}

/// Simulates 0.75 s, and counts in the last 0.5 s of them.
pub fn simulate(costs: &Costs, setup: &Setup) -> Findings {
    let [producer_cores, broker_cores, consumer_cores, database_cores] = match setup.cores {
        Cores::Shared(cores) => [cores, cores, 0.0, 0.0],
        Cores::Apart { producer, broker, consumers, database } => [producer, broker, consumers, database],
    };
    let mut producers: Vec<Producer> = (0..setup.producers)
        .map(|_| Producer {
            http: Part::new(producer_cores.ceil() as usize),
            publisher: Part::new(1),
            mailbox: 0,
            in_flight: 0,
            confirmed: false,
            processors: Processors::new(producer_cores),
        })
        .collect();
    let (mut client, mut broker) = (Part::new(1), Part::new(broker_cores.ceil() as usize));
    let (mut consumers, mut database) = (Part::new(usize::MAX), Part::new(usize::MAX));
    let [mut machine, mut broker_machine, mut consumer_machine, mut database_machine] =
        [broker_cores, broker_cores, consumer_cores, database_cores].map(Processors::new);
    let mut log = Log { sync: (setup.sync / STEP) as usize, ..Log::default() };
    // Confirms on their way, each with the step in which it arrives.
    let mut confirms: VecDeque<(usize, Work)> = VecDeque::new();
    let network = (setup.network / STEP) as usize;
    let mut due = match setup.load {
        Load::Closed { connections } => connections as f64,
        Load::Open { .. } => 0.0,
    };
    let (mut next_producer, mut accepted, mut applied, mut messages) = (0, 0, 0, 0);
    let mut used_before = [0.0; 5];
    let used = |producers: &[Producer], others: [&Part; 3]| {
        let [broker, consumers, database] = others.map(|part| part.used);
        let http = producers.iter().map(|producer| producer.http.used).sum();
        let publisher = producers.iter().map(|producer| producer.publisher.used).sum();
        [http, publisher, broker, consumers, database]
    };

    for step in 0..WARM_UP + COUNTED {
        if step == WARM_UP {
            (accepted, applied, messages) = (0, 0, 0);
            used_before = used(&producers, [&broker, &consumers, &database]);
        }
        // New requests.
        if let Load::Open { per_second } = setup.load {
            due += per_second * STEP / 1e6;
        }
        while due >= 1.0 {
            due -= 1.0;
            let request = Work { cost: costs.client, changes: 1, producer: next_producer };
            match setup.cores {
                Cores::Shared(_) => client.push(request),
                Cores::Apart { .. } => producers[next_producer].http.push(Work { cost: costs.http, ..request }),
            }
            next_producer = (next_producer + 1) % setup.producers;
        }
        // Confirms that arrive now. In a closed load each answer is the next request.
        while let Some(&(at, work)) = confirms.front()
            && at <= step
        {
            confirms.pop_front();
            let producer = &mut producers[work.producer];
            producer.in_flight -= 1;
            producer.confirmed = true;
            accepted += work.changes;
            messages += 1;
            if matches!(setup.load, Load::Closed { .. }) {
                due += work.changes as f64;
            }
        }
        // The publishers take from their mailboxes.
        for (number, producer) in producers.iter_mut().enumerate() {
            let idle = producer.publisher.waiting.is_empty();
            if idle && may_send(setup.pack_max, producer.in_flight, producer.confirmed) {
                while producer.mailbox > 0 {
                    let changes = pack_size(producer.mailbox, setup.pack_max);
                    producer.mailbox -= changes;
                    producer.in_flight += 1;
                    producer.publisher.push(Work { cost: costs.publisher.of(changes), changes, producer: number });
                }
                producer.confirmed = false;
            }
        }
        // All parts work.
        let mut requests = Vec::new();
        let (mut parsed, mut published) = (Vec::new(), Vec::new());
        let stored;
        match setup.cores {
            Cores::Shared(_) => {
                let mut parts = vec![&mut client, &mut broker];
                for producer in &mut producers {
                    parts.extend([&mut producer.http, &mut producer.publisher]);
                }
                let mut finished = run_parts(&mut machine, &mut parts).into_iter();
                requests = finished.next().unwrap_or_default();
                stored = finished.next().unwrap_or_default();
                while let (Some(http), Some(publisher)) = (finished.next(), finished.next()) {
                    parsed.extend(http);
                    published.extend(publisher);
                }
            }
            Cores::Apart { .. } => {
                for Producer { http, publisher, processors, .. } in &mut producers {
                    if http.waiting.is_empty() && publisher.waiting.is_empty() {
                        continue;
                    }
                    let mut finished = run_parts(processors, &mut [http, publisher]).into_iter();
                    parsed.extend(finished.next().unwrap_or_default());
                    published.extend(finished.next().unwrap_or_default());
                }
                stored = run_parts(&mut broker_machine, &mut [&mut broker]).concat();
                for work in run_parts(&mut consumer_machine, &mut [&mut consumers]).concat() {
                    database.push(Work { cost: costs.sql * work.changes as f64, ..work });
                }
                let written = run_parts(&mut database_machine, &mut [&mut database]).concat();
                applied += written.iter().map(|work| work.changes).sum::<usize>();
            }
        }
        // What is finished goes to the next part.
        for request in requests {
            producers[request.producer].http.push(Work { cost: costs.http, ..request });
        }
        for request in parsed {
            producers[request.producer].mailbox += 1;
        }
        for message in published {
            let delivery = match setup.cores {
                Cores::Shared(_) => 0.0,
                Cores::Apart { .. } => costs.delivery.of(message.changes),
            };
            broker.push(Work { cost: costs.broker.of(message.changes) + delivery, ..message });
        }
        log.waiting.extend(stored);
        for message in log.stored(step) {
            confirms.push_back((step + 1 + network, message));
            if matches!(setup.cores, Cores::Apart { .. }) {
                consumers.push(Work { cost: costs.consumer.of(message.changes), ..message });
            }
        }
    }

    let time = COUNTED as f64 * STEP;
    let after = used(&producers, [&broker, &consumers, &database]);
    let cores = match setup.cores {
        Cores::Shared(cores) => [cores; 5],
        Cores::Apart { producer, broker, consumers, database } => {
            let producers = producer * setup.producers as f64;
            [producers, producers, broker, consumers, database]
        }
    };
    let mut shares = [0.0; 5];
    for (share, ((after, before), cores)) in shares.iter_mut().zip(after.iter().zip(used_before).zip(cores)) {
        *share = (after - before) / (time * cores);
    }
    let [http, publisher, broker, consumers, database] = shares;
    Findings {
        accepted: accepted as f64 * 1e6 / time,
        applied: applied as f64 * 1e6 / time,
        pack: accepted as f64 / f64::max(messages as f64, 1.0),
        messages: messages as f64 * 1e6 / time,
        http,
        publisher,
        broker,
        consumers,
        database,
    }
}

/// A measured point: all on one machine with two cores, and the load generator on it, too.
struct Measured {
    connections: usize,
    pack_max: usize,
    /// The cores that other programs left.
    cores: f64,
    accepted: f64,
    pack: f64,
}

/// The points that were measured. [`COSTS`] is from the same runs.
const MEASURED: [Measured; 7] = [
    Measured { connections: 64, pack_max: 1, cores: 1.98, accepted: 10182.0, pack: 1.0 },
    Measured { connections: 256, pack_max: 1, cores: 1.84, accepted: 11998.0, pack: 1.0 },
    Measured { connections: 1024, pack_max: 1, cores: 1.99, accepted: 12541.0, pack: 1.0 },
    Measured { connections: 64, pack_max: 64, cores: 1.95, accepted: 16896.0, pack: 9.8 },
    Measured { connections: 256, pack_max: 64, cores: 1.99, accepted: 25_114.0, pack: 27.7 },
    // Another round, disturbed by other programs.
    Measured { connections: 256, pack_max: 64, cores: 1.11, accepted: 14_723.0, pack: 28.3 },
    Measured { connections: 1024, pack_max: 64, cores: 1.98, accepted: 20411.0, pack: 29.6 },
];

/// `fsync` on the machine that was measured.
const LOCAL_SYNC: f64 = 1_000.0;
/// `fsync` on a cloud disk, and the way between three zones and back: assumptions.
const CLUSTER_SYNC: f64 = 2_000.0;
const CLUSTER_NETWORK: f64 = 2_000.0;

/// A row of the table of fleets.
struct Fleet {
    per_second: f64,
    pack_max: usize,
    producers: usize,
    producer: f64,
    broker: f64,
    consumers: f64,
    database: f64,
}

const FLEETS: [Fleet; 9] = [
    Fleet { per_second: 1e3, pack_max: 64, producers: 2, producer: 1.0, broker: 2.0, consumers: 1.0, database: 2.0 },
    Fleet { per_second: 1e4, pack_max: 64, producers: 2, producer: 1.0, broker: 2.0, consumers: 1.0, database: 4.0 },
    Fleet { per_second: 1e4, pack_max: 1, producers: 2, producer: 1.0, broker: 2.0, consumers: 1.0, database: 4.0 },
    Fleet { per_second: 1e5, pack_max: 64, producers: 8, producer: 2.0, broker: 4.0, consumers: 4.0, database: 32.0 },
    Fleet { per_second: 1e5, pack_max: 64, producers: 16, producer: 1.0, broker: 4.0, consumers: 4.0, database: 32.0 },
    Fleet { per_second: 1e5, pack_max: 64, producers: 16, producer: 1.0, broker: 2.0, consumers: 4.0, database: 32.0 },
    Fleet { per_second: 1e5, pack_max: 64, producers: 8, producer: 2.0, broker: 4.0, consumers: 4.0, database: 8.0 },
    Fleet { per_second: 1e5, pack_max: 1, producers: 8, producer: 2.0, broker: 4.0, consumers: 4.0, database: 32.0 },
    Fleet { per_second: 3e5, pack_max: 64, producers: 12, producer: 4.0, broker: 4.0, consumers: 8.0, database: 64.0 },
];

/// All tables, in Markdown.
pub fn tables() -> String {
    format!("{}\n{}\n{}", cost_table(), machine_table(), fleet_table())
}

fn cost_table() -> String {
    let Costs { client, http, publisher, broker, delivery, consumer, sql } = COSTS;
    let mut text = "| part | for a message, µs | for a change, µs | unpacked | in packs of 30 |\n".to_owned();
    text += "| --- | --- | --- | --- | --- |\n";
    let rows = [
        ("HTTP threads", Cost { message: 0.0, change: http }),
        ("publisher and AMQP I/O thread", publisher),
        ("RabbitMQ, until the confirm", broker),
        ("RabbitMQ, delivery", delivery),
        ("consumer", consumer),
        ("PostgreSQL, into an empty table", Cost { message: 0.0, change: sql }),
        ("PostgreSQL, into ten million contacts", Cost { message: 0.0, change: SQL_LARGE }),
        ("the load generator (not a part of the service)", Cost { message: 0.0, change: client }),
    ];
    for (name, cost) in rows {
        let Cost { message, change } = cost;
        let _ = writeln!(text, "| {name} | {message} | {change} | {:.0} | {:.0} |", cost.each(1.0), cost.each(30.0));
    }
    text
}

fn machine_table() -> String {
    let mut text =
        "| connections | `pack_max` | free cores | measured/s | simulated/s | difference | measured pack | ".to_owned();
    text += "simulated pack |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for Measured { connections, pack_max, cores, accepted, pack } in MEASURED {
        let setup = Setup {
            load: Load::Closed { connections },
            cores: Cores::Shared(cores),
            producers: 1,
            pack_max,
            sync: LOCAL_SYNC,
            network: 0.0,
        };
        let found = simulate(&COSTS, &setup);
        let difference = (found.accepted / accepted - 1.0) * 100.0;
        let _ = writeln!(
            text,
            "| {connections} | {pack_max} | {cores:.2} | {accepted:.0} | {:.0} | {difference:+.0} % | {pack:.1} | {:.1} |",
            found.accepted, found.pack
        );
    }
    text
}

fn fleet_table() -> String {
    let mut text =
        "| creates/s | `pack_max` | producers x cores | cores of RabbitMQ, consumers, PostgreSQL | accepted/s | applied/s | "
            .to_owned();
    text += "changes in a message | messages/s | producers | RabbitMQ | consumers | PostgreSQL |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for Fleet { per_second, pack_max, producers, producer, broker, consumers, database } in FLEETS {
        let cores = Cores::Apart { producer, broker, consumers, database };
        let costs = Costs { sql: SQL_LARGE, ..COSTS };
        let load = Load::Open { per_second };
        let found =
            simulate(&costs, &Setup { load, cores, producers, pack_max, sync: CLUSTER_SYNC, network: CLUSTER_NETWORK });
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let _ = writeln!(
            text,
            "| {per_second:.0} | {pack_max} | {producers} x {producer} | {broker}, {consumers}, {database} | {:.0} | {:.0} | {:.1} | \
             {:.0} | {} | {} | {} | {} |",
            found.accepted,
            found.applied,
            found.pack,
            found.messages,
            percent(found.http + found.publisher),
            percent(found.broker),
            percent(found.consumers),
            percent(found.database)
        );
    }
    text
}
