//! The faults of a round.

use super::clients::Traffic;
use super::cluster::{Cluster, STATEMENT_TIMEOUT};
use super::environment::{Environment, Needs};
use super::nodes::Nodes;
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
    KillNode = "a broker node killed (SIGKILL) and restarted",
    KillLeader = "the leader of the work queue killed (SIGKILL) and restarted",
    FreezeNode = "a broker node frozen for up to 6 s",
    IsolateNode = "a broker node cut off from everybody for up to 6 s",
    LeaderInMinority = "the leader cut off from the other nodes for up to 6 s, clients reach all",
    FollowerInMinority = "another node cut off from the other nodes for up to 6 s, clients reach all",
    DeafNode = "a node receives nothing from the others, which receive its packets, for up to 6 s",
    MoveLeader = "leader of the work queue moved",
    RollNodes = "rolling restart of all three broker nodes",
    DiskAlarm = "disk alarm of one broker node for up to 3 s",
    DrainNode = "a broker node in maintenance for up to 3 s",
    KillAllNodes = "all three broker nodes killed at once and restarted",
    LosePrimary = "primary killed, standby promoted, old primary back as standby",
    LosePrimaryTwice = "two failovers, so that the old primary is primary again",
    FreezePrimary = "primary frozen for up to 6 s",
    IsolatePrimary = "primary cut off from everybody for up to 6 s",
    LoseStandby = "synchronous standby gone for up to 6 s: commits hang",
    LosePrimaryWithoutStandby = "standby cut off while commits hang, then the primary killed and the standby promoted",
    RestartPrimaryWithoutStandby = "the same, but the primary was restarted before, so its unreplicated commits were visible",
    ReadOnlyPrimary = "primary read-only for up to 3 s",
}

impl Fault {
    pub const fn needs(self) -> Needs {
        use Fault::*;
        match self {
            KillProducer | KillConsumer | TerminateProducer | TerminateConsumer | FreezeProducer | FreezeConsumer
            | TerminateBackends | LockRows | Deadlocks | StatementTimeouts | DeleteQueue => Needs::Nothing,
            DisconnectBroker | StallBroker | SlowBroker | RefuseBroker | DisconnectDatabase | StallDatabase
            | SlowDatabase | RefuseDatabase => Needs::Proxies,
            ExhaustConnections | KillBroker | RestartBroker | CloseConnections | FullQueue | MemoryAlarm
            | KillDatabase | RestartDatabase => Needs::PrivateServices,
            KillNode
            | KillLeader
            | FreezeNode
            | IsolateNode
            | LeaderInMinority
            | FollowerInMinority
            | DeafNode
            | MoveLeader
            | RollNodes
            | DiskAlarm
            | DrainNode
            | KillAllNodes
            | LosePrimary
            | LosePrimaryTwice
            | FreezePrimary
            | IsolatePrimary
            | LoseStandby
            | LosePrimaryWithoutStandby
            | RestartPrimaryWithoutStandby
            | ReadOnlyPrimary => Needs::Nodes,
        }
    }

    /// Injects the fault. [`Cluster::clear_faults`] removes it.
    pub fn inject(
        self,
        cluster: &mut Cluster,
        traffic: &Traffic,
        random: &mut fastrand::Rng,
        environment: &Environment,
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
            Self::DisconnectBroker => cluster.proxies().broker.close_connections(),
            Self::DisconnectDatabase => cluster.proxies().database.close_connections(),
            Self::StallBroker => {
                cluster.proxies().broker.stall(true);
                sleep(duration);
                // Dropped packets are lost, so their connections must not continue.
                cluster.proxies().broker.close_connections();
            }
            Self::StallDatabase => {
                cluster.proxies().database.stall(true);
                sleep(duration);
                cluster.proxies().database.close_connections();
            }
            Self::SlowBroker => {
                cluster.proxies().broker.delay(Duration::from_millis(30));
                sleep(duration);
            }
            Self::SlowDatabase => {
                cluster.proxies().database.delay(Duration::from_millis(30));
                sleep(duration);
            }
            Self::RefuseBroker => {
                cluster.proxies().broker.refuse_connections(true);
                cluster.proxies().broker.close_connections();
                sleep(duration);
            }
            Self::RefuseDatabase => {
                cluster.proxies().database.refuse_connections(true);
                cluster.proxies().database.close_connections();
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
                sleep(STATEMENT_TIMEOUT + duration);
                cluster.stack.database.execute("DROP FUNCTION slow CASCADE");
            }
            Self::FullQueue => {
                let queue = cluster.stack.broker.queue_name(QueueKind::Work);
                environment.services().set_queue_limit(&queue, 1);
                // Running consumers would empty the queue by their prefetch.
                cluster.kill_all("consumer");
                sleep(duration);
                environment.services().set_queue_limit(&queue, 1_000_000);
            }
            Self::DeleteQueue => {
                let queue = if random.bool() { QueueKind::Work } else { QueueKind::Retry };
                // The queue must be empty: deleting it would lose its messages.
                let _pause = traffic.pause();
                eventually("every accepted operation is finished", || cluster.all_finished(traffic).then_some(()));
                cluster.stack.broker.delete_queue(queue);
            }
            other => match environment {
                Environment::Nodes(nodes) => {
                    let queue = cluster.stack.broker.queue_name(QueueKind::Work);
                    other.inject_into_nodes(nodes, &queue, traffic, random, duration);
                }
                Environment::Shared | Environment::Private(_) => {
                    other.inject_into_services(environment.services(), duration);
                }
            },
        }
    }

    fn inject_into_nodes(
        self,
        nodes: &Nodes,
        queue: &str,
        traffic: &Traffic,
        random: &mut fastrand::Rng,
        time: Duration,
    ) {
        let any = ["1", "2", "3"][random.usize(..3)];
        // Longer than RabbitMQ and we need to notice it, at times.
        let long = time * 2;
        let broker = |node: &str, fault: &str| nodes.run(&["broker", node, fault]);
        let database = |node: &str, fault: &str| nodes.run(&["database", node, fault]);
        let standby = |primary: &str| if primary == "1" { "2" } else { "1" };
        let sleep = std::thread::sleep;
        // `settle` ends everything that does not end here.
        match self {
            Self::KillNode => broker(any, "kill"),
            Self::KillLeader => broker(&nodes.leader(queue), "kill"),
            Self::FreezeNode => {
                broker(any, "freeze");
                sleep(long);
            }
            Self::IsolateNode => {
                broker(any, "isolate");
                sleep(long);
            }
            Self::LeaderInMinority => {
                broker(&nodes.leader(queue), "split");
                sleep(long);
            }
            Self::FollowerInMinority => {
                let leader = nodes.leader(queue);
                let follower = ["1", "2", "3"].into_iter().find(|node| *node != leader).unwrap();
                broker(follower, "split");
                sleep(long);
            }
            Self::DeafNode => {
                broker(any, "deaf");
                sleep(long);
            }
            Self::MoveLeader => nodes.run(&["move-leader", queue]),
            Self::RollNodes => nodes.run(&["brokers", "roll"]),
            Self::DiskAlarm => {
                broker(any, "disk-alarm");
                sleep(time);
            }
            Self::DrainNode => {
                broker(any, "drain");
                sleep(time);
            }
            Self::KillAllNodes => {
                nodes.run(&["brokers", "kill"]);
                nodes.run(&["brokers", "start"]);
            }
            Self::LosePrimary => nodes.run(&["failover"]),
            Self::LosePrimaryTwice => {
                nodes.run(&["failover"]);
                nodes.run(&["rejoin"]);
                nodes.run(&["failover"]);
            }
            Self::FreezePrimary => {
                database(&nodes.primary(), "freeze");
                sleep(long);
            }
            Self::IsolatePrimary => {
                database(&nodes.primary(), "isolate");
                sleep(long);
            }
            Self::LoseStandby => {
                database(standby(&nodes.primary()), "kill");
                sleep(long);
            }
            Self::LosePrimaryWithoutStandby => {
                database(standby(&nodes.primary()), "split");
                sleep(STATEMENT_TIMEOUT + time);
                nodes.run(&["failover"]);
            }
            Self::RestartPrimaryWithoutStandby => {
                let primary = nodes.primary();
                database(standby(&primary), "split");
                sleep(STATEMENT_TIMEOUT + time);
                // A primary that restarts shows commits that its standby does not have. After the failover they are
                // gone until their messages are applied again. So nobody reads meanwhile; see docs/RELIABILITY.md.
                let _pause = traffic.pause();
                database(&primary, "kill");
                database(&primary, "start");
                // The messages of the commits are delivered again.
                sleep(STATEMENT_TIMEOUT + time);
                nodes.run(&["failover"]);
            }
            Self::ReadOnlyPrimary => {
                nodes.run(&["read-only", "on"]);
                sleep(time);
            }
            other => panic!("{other:?} does not need a cluster"),
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
