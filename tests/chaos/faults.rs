//! What can break.

use super::clients::Traffic;
use super::cluster::Cluster;
use super::services::Services;
use crate::support::eventually;
use contacts::queue::QueueKind;
use std::time::{Duration, Instant};

macro_rules! faults {
    ($($name:ident = $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($name,)* }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    KillProducer = "producer killed (SIGKILL)",
    KillConsumer = "consumer killed (SIGKILL)",
    TerminateProducer = "producer ended (SIGTERM) under load",
    TerminateConsumer = "consumer ended (SIGTERM) under load",
    FreezeProducer = "producer frozen for up to 3 s",
    FreezeConsumer = "consumer frozen for up to 3 s",
    CutBroker = "connections to the broker cut",
    SwallowBroker = "packets to the broker swallowed for up to 3 s",
    SlowBroker = "30 ms more for each packet to the broker",
    RefuseBroker = "broker not to be reached for up to 3 s",
    CutDatabase = "connections to SQL cut",
    SwallowDatabase = "packets to SQL swallowed for up to 3 s",
    SlowDatabase = "30 ms more for each packet to SQL",
    RefuseDatabase = "SQL not to be reached for up to 3 s",
    TerminateBackends = "SQL sessions ended by the server",
    LockRows = "all contacts locked for up to 5 s",
    Deadlocks = "deadlocks with another user of SQL for up to 3 s",
    StatementTimeouts = "statements that take longer than SQL allows for up to 3 s",
    DeleteQueue = "queue for work or retry deleted while empty",
    ExhaustConnections = "SQL out of connections for up to 3 s",
    KillBroker = "broker killed (SIGKILL) and started",
    RestartBroker = "broker stopped and started",
    CloseConnections = "connections closed by the broker's own tool",
    FullQueue = "queue full, publishes rejected for up to 3 s",
    MemoryAlarm = "broker's memory alarm for up to 3 s",
    KillDatabase = "SQL killed (SIGKILL) and started",
    RestartDatabase = "SQL stopped and started",
}

impl Fault {
    pub const fn needs_own_services(self) -> bool {
        use Fault::*;
        matches!(
            self,
            ExhaustConnections
                | KillBroker
                | RestartBroker
                | CloseConnections
                | FullQueue
                | MemoryAlarm
                | KillDatabase
                | RestartDatabase
        )
    }

    pub fn happen(
        self,
        cluster: &mut Cluster,
        traffic: &Traffic,
        random: &mut fastrand::Rng,
        services: Option<&Services>,
    ) {
        let short = Duration::from_millis(random.u64(100..3_000));
        let sleep = std::thread::sleep;
        match self {
            Self::KillProducer => cluster.kill("producer", random),
            Self::KillConsumer => cluster.kill("consumer", random),
            Self::TerminateProducer => cluster.terminate("producer", random),
            Self::TerminateConsumer => cluster.terminate("consumer", random),
            Self::FreezeProducer => cluster.freeze("producer", random, short),
            Self::FreezeConsumer => cluster.freeze("consumer", random, short),
            Self::CutBroker => cluster.broker.cut(),
            Self::CutDatabase => cluster.database.cut(),
            Self::SwallowBroker => {
                cluster.broker.swallow(true);
                sleep(short);
                // What was swallowed is lost with its connection.
                cluster.broker.cut();
            }
            Self::SwallowDatabase => {
                cluster.database.swallow(true);
                sleep(short);
                cluster.database.cut();
            }
            Self::SlowBroker => {
                cluster.broker.delay(Duration::from_millis(30));
                sleep(short);
            }
            Self::SlowDatabase => {
                cluster.database.delay(Duration::from_millis(30));
                sleep(short);
            }
            Self::RefuseBroker => {
                cluster.broker.refuse(true);
                cluster.broker.cut();
                sleep(short);
            }
            Self::RefuseDatabase => {
                cluster.database.refuse(true);
                cluster.database.cut();
                sleep(short);
            }
            Self::TerminateBackends => cluster.stack.database.end_sessions(),
            Self::LockRows => {
                let lock = cluster.stack.database.hold("LOCK TABLE contacts IN SHARE ROW EXCLUSIVE MODE");
                sleep(short * 5 / 3);
                drop(lock);
            }
            Self::Deadlocks => {
                let until = Instant::now() + short;
                while Instant::now() < until {
                    // Against the order in which consumers lock. Whom SQL ends is its choice.
                    let _ = cluster.stack.database.try_execute(
                        "BEGIN; SELECT 1 FROM contacts WHERE id = (SELECT id FROM contacts ORDER BY id DESC LIMIT 1) FOR UPDATE; \
                         SELECT pg_sleep(0.2); SELECT 1 FROM contacts FOR UPDATE; COMMIT",
                    );
                }
            }
            Self::StatementTimeouts => {
                cluster.stack.database.execute(
                    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$; \
                     CREATE TRIGGER slow AFTER INSERT ON operations EXECUTE FUNCTION slow()",
                );
                sleep(super::cluster::STATEMENT_TIMEOUT + short);
                cluster.stack.database.execute("DROP FUNCTION slow CASCADE");
            }
            Self::FullQueue => {
                let queue = cluster.stack.broker.queue(QueueKind::Work);
                services.unwrap().limit(&queue, 1);
                // Their prefetch would keep the queue short.
                cluster.kill_all("consumer");
                sleep(short);
                services.unwrap().limit(&queue, 1_000_000);
            }
            Self::DeleteQueue => {
                let lane = if random.bool() { QueueKind::Work } else { QueueKind::Retry };
                // Deleting what holds messages loses them, whoever does it.
                let _pause = traffic.pause();
                eventually("all that was accepted has ended", || cluster.all_ended(traffic).then_some(()));
                cluster.stack.broker.delete_queue(lane);
            }
            own => own.happen_to(services.unwrap(), short),
        }
    }

    fn happen_to(self, services: &Services, time: Duration) {
        match self {
            Self::ExhaustConnections => services.exhaust_connections(time),
            Self::KillBroker => services.restart("broker", "KILL"),
            Self::RestartBroker => services.restart("broker", "TERM"),
            Self::CloseConnections => drop(services.rabbitmqctl(&["close_all_connections", "on purpose"])),
            Self::MemoryAlarm => {
                services.rabbitmqctl(&["set_vm_memory_high_watermark", "0.0000001"]);
                std::thread::sleep(time);
            }
            Self::KillDatabase => services.restart("database", "QUIT"),
            Self::RestartDatabase => services.restart("database", "INT"),
            other => panic!("{other:?} needs no services"),
        }
    }
}
