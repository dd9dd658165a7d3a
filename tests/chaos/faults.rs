//! The faults of a round.

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
    TerminateProducer = "producer stopped (SIGTERM) under load",
    TerminateConsumer = "consumer stopped (SIGTERM) under load",
    FreezeProducer = "producer frozen for up to 3 s",
    FreezeConsumer = "consumer frozen for up to 3 s",
    DisconnectBroker = "connections to the broker closed",
    StallBroker = "packets to the broker dropped for up to 3 s",
    SlowBroker = "30 ms delay for each packet to the broker",
    RefuseBroker = "broker unreachable for up to 3 s",
    DisconnectDatabase = "connections to the database closed",
    StallDatabase = "packets to the database dropped for up to 3 s",
    SlowDatabase = "30 ms delay for each packet to the database",
    RefuseDatabase = "database unreachable for up to 3 s",
    TerminateBackends = "database sessions terminated by the server",
    LockRows = "all contacts locked for up to 5 s",
    Deadlocks = "deadlocks with another database user for up to 3 s",
    StatementTimeouts = "statements longer than the statement timeout for up to 3 s",
    DeleteQueue = "empty work queue or retry queue deleted",
    ExhaustConnections = "database out of connections for up to 3 s",
    KillBroker = "broker killed (SIGKILL) and restarted",
    RestartBroker = "broker restarted",
    CloseConnections = "connections closed with rabbitmqctl",
    FullQueue = "work queue full, publishes rejected for up to 3 s",
    MemoryAlarm = "memory alarm of the broker for up to 3 s",
    KillDatabase = "database stopped immediately (SIGQUIT) and restarted",
    RestartDatabase = "database restarted",
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

    /// Injects the fault. [`Cluster::clear_faults`] removes it.
    pub fn inject(
        self,
        cluster: &mut Cluster,
        traffic: &Traffic,
        random: &mut fastrand::Rng,
        services: Option<&Services>,
    ) {
        let duration = Duration::from_millis(random.u64(100..3_000));
        let sleep = std::thread::sleep;
        match self {
            Self::KillProducer => cluster.kill("producer", random),
            Self::KillConsumer => cluster.kill("consumer", random),
            Self::TerminateProducer => cluster.terminate("producer", random),
            Self::TerminateConsumer => cluster.terminate("consumer", random),
            Self::FreezeProducer => cluster.freeze("producer", random, duration),
            Self::FreezeConsumer => cluster.freeze("consumer", random, duration),
            Self::DisconnectBroker => cluster.broker.close_connections(),
            Self::DisconnectDatabase => cluster.database.close_connections(),
            Self::StallBroker => {
                cluster.broker.stall(true);
                sleep(duration);
                // Dropped packets are lost, so their connections must not continue.
                cluster.broker.close_connections();
            }
            Self::StallDatabase => {
                cluster.database.stall(true);
                sleep(duration);
                cluster.database.close_connections();
            }
            Self::SlowBroker => {
                cluster.broker.delay(Duration::from_millis(30));
                sleep(duration);
            }
            Self::SlowDatabase => {
                cluster.database.delay(Duration::from_millis(30));
                sleep(duration);
            }
            Self::RefuseBroker => {
                cluster.broker.refuse_connections(true);
                cluster.broker.close_connections();
                sleep(duration);
            }
            Self::RefuseDatabase => {
                cluster.database.refuse_connections(true);
                cluster.database.close_connections();
                sleep(duration);
            }
            Self::TerminateBackends => cluster.stack.database.terminate_sessions(),
            Self::LockRows => {
                let lock = cluster.stack.database.open_transaction("LOCK TABLE contacts IN SHARE ROW EXCLUSIVE MODE");
                sleep(duration * 5 / 3);
                drop(lock);
            }
            Self::Deadlocks => {
                let end = Instant::now() + duration;
                while Instant::now() < end {
                    // Locks rows in the opposite order of the consumers. The database chooses which transaction fails.
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
                sleep(super::cluster::STATEMENT_TIMEOUT + duration);
                cluster.stack.database.execute("DROP FUNCTION slow CASCADE");
            }
            Self::FullQueue => {
                let queue = cluster.stack.broker.queue_name(QueueKind::Work);
                services.unwrap().set_queue_limit(&queue, 1);
                // Running consumers would empty the queue by their prefetch.
                cluster.kill_all("consumer");
                sleep(duration);
                services.unwrap().set_queue_limit(&queue, 1_000_000);
            }
            Self::DeleteQueue => {
                let queue = if random.bool() { QueueKind::Work } else { QueueKind::Retry };
                // The queue must be empty: deleting it would lose its messages.
                let _pause = traffic.pause();
                eventually("every accepted operation is finished", || cluster.all_finished(traffic).then_some(()));
                cluster.stack.broker.delete_queue(queue);
            }
            other => other.inject_into_services(services.unwrap(), duration),
        }
    }

    fn inject_into_services(self, services: &Services, time: Duration) {
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
            other => panic!("{other:?} does not need its own services"),
        }
    }
}
