//! Owns the settings that Kafka's other clients have and this one does not: which of them may stand in a file all the same,
//! with the reason, and which may not, with what to do instead.
//!
//! Must not know the settings that this client has.

use Treatment::{NotNeeded, NotYet, Only};

/// What becomes of a setting that only other clients have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It is accepted and does nothing, for this reason.
    NotNeeded(&'static str),
    /// It is accepted with one of these values, which say what is done anyway; for this reason.
    Only(&'static [&'static str], &'static str),
    /// It is refused: silence would be a lie. What to do instead, if there is anything.
    NotYet(&'static str),
}

/// A setting that only other clients have. `name` may end in `*`: all that begin so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Foreign {
    pub(super) name: &'static str,
    pub(super) treatment: Treatment,
}

const BYTES: Treatment = NotNeeded("keys and values are bytes here");
const PULLED: Treatment = NotNeeded("metrics are pulled: `metrics()`");
const SOCKETS: Treatment = NotNeeded("the operating system sizes its buffers");
const SPANS: Treatment = NotNeeded(
    "the feature `tracing` tells what happens, at the levels that your subscriber asks for",
);
const BUDGET: Treatment =
    NotNeeded("`buffer.memory` and `memory.budget` bound what is queued, in bytes");
const VERSIONS: Treatment = NotNeeded("versions are always negotiated");
const LOOKUP: Treatment =
    NotNeeded("metadata is asked for when it is needed, for the topics in use");
const TOKENS: Treatment = NotYet("tokens come from the function given to `Options::token`");
const GSSAPI: Treatment = NotYet("GSSAPI is not there");
const TLS: Treatment = NotYet("`Options::tls` takes a whole `rustls::ClientConfig`");
const PEM_FILES: Treatment = NotYet(
    "`ssl.ca.location`, `ssl.certificate.location` and `ssl.key.location` name PEM files without a password",
);
const EXTENSION: Treatment =
    NotYet("nothing is loaded at run time: call your code around this client's");
const TRANSACTIONS: Treatment = NotYet("transactions are not there");
const SHARE: Treatment = NotYet("share groups are not there");

/// All of them. The first row whose name fits counts.
pub(super) const FOREIGN: &[Foreign] = &[
    // Java's.
    row(
        "client.dns.lookup",
        NotNeeded("all addresses of a name are always tried"),
    ),
    row(
        "config.providers",
        NotYet("read the values yourself, and hand them to `from_properties`"),
    ),
    row(
        "default.api.timeout.ms",
        Only(&["60000"], "an operation may take a minute"),
    ),
    row(
        "enable.metrics.push",
        NotNeeded("nothing is pushed to brokers"),
    ),
    row(
        "exclude.internal.topics",
        Only(&["true"], "a pattern never matches internal topics"),
    ),
    row("interceptor.classes", EXTENSION),
    row(
        "internal.*",
        NotNeeded("it is for the insides of other clients"),
    ),
    row("key.*serializer", BYTES),
    row("value.*serializer", BYTES),
    row(
        "max.poll.records",
        NotNeeded("each `poll` says how many it wants"),
    ),
    row("metadata.max.idle.ms", LOOKUP),
    row(
        "metadata.recovery.strategy",
        Only(
            &["rebootstrap"],
            "the bootstrap servers are always gone back to",
        ),
    ),
    row(
        "metadata.recovery.rebootstrap.trigger.ms",
        Only(&["300000"], "it is five minutes"),
    ),
    row("metric.reporters", PULLED),
    row("metrics.*", PULLED),
    row(
        "partitioner.adaptive.partitioning.enable",
        Only(&["false"], "partitions get equal shares"),
    ),
    row(
        "partitioner.availability.timeout.ms",
        Only(&["0"], "partitions get equal shares"),
    ),
    row(
        "partitioner.class",
        NotYet("choose with `NewRecord::partition`"),
    ),
    row(
        "partitioner.ignore.keys",
        Only(&["false"], "a record without a partition goes by its key"),
    ),
    row("receive.buffer.bytes", SOCKETS),
    row("send.buffer.bytes", SOCKETS),
    row(
        "retries",
        NotNeeded("`delivery.timeout.ms` alone bounds the retries"),
    ),
    row(
        "sasl.jaas.config",
        NotYet("set `sasl.username` and `sasl.password`"),
    ),
    row("sasl.client.callback.handler.class", EXTENSION),
    row("sasl.login.callback.handler.class", TOKENS),
    row("sasl.login.class", EXTENSION),
    row(
        "sasl.login.*",
        NotNeeded("a token is asked for with each connection, and before its session ends"),
    ),
    row("sasl.kerberos.*", GSSAPI),
    row("sasl.oauthbearer.*", TOKENS),
    row("security.providers", TLS),
    row("share.*", SHARE),
    row(
        "ssl.endpoint.identification.algorithm",
        Only(&["https"], "the broker's name is always verified"),
    ),
    row(
        "ssl.truststore.type",
        Only(&["PEM"], "certificates are read from PEM files"),
    ),
    row(
        "ssl.keystore.type",
        Only(&["PEM"], "certificates are read from PEM files"),
    ),
    row("ssl.truststore.*", PEM_FILES),
    row("ssl.keystore.*", PEM_FILES),
    row("ssl.key.password", PEM_FILES),
    row("ssl.*.pem", PEM_FILES),
    row("transaction.*", TRANSACTIONS),
    row("transactional.id", TRANSACTIONS),
    // librdkafka's.
    row("api.version.*", VERSIONS),
    row("broker.version.fallback", VERSIONS),
    row(
        "batch.num.messages",
        NotNeeded("`batch.size` alone bounds a batch, in bytes"),
    ),
    row(
        "broker.address.family",
        Only(&["any"], "addresses of both families are tried"),
    ),
    row(
        "broker.address.ttl",
        NotNeeded("a name is looked up again with each attempt to connect"),
    ),
    row(
        "builtin.features",
        NotNeeded("Cargo features say what is built in"),
    ),
    row(
        "compression.level",
        NotYet("set the level of the codec, such as `compression.zstd.level`"),
    ),
    row(
        "consume.callback.max.messages",
        NotNeeded("there are no callbacks"),
    ),
    row("coordinator.query.interval.ms", LOOKUP),
    row("debug", SPANS),
    row("log.*", SPANS),
    row("log_level", SPANS),
    row(
        "delivery.report.only.error",
        NotNeeded("each record's future has its outcome; drop those that you do not want"),
    ),
    row(
        "produce.offset.report",
        NotNeeded("a receipt always has the offset"),
    ),
    row(
        "enable.auto.offset.store",
        Only(
            &["true"],
            "what was handed out before the current read counts as dealt with",
        ),
    ),
    row(
        "enable.gapless.guarantee",
        Only(&["false"], "a record that fails holds up no others"),
    ),
    row(
        "enable.partition.eof",
        Only(&["false"], "`lag` says how far it is to the end"),
    ),
    row(
        "enable.random.seed",
        NotNeeded("entropy comes from the operating system"),
    ),
    row("enable.sasl.oauthbearer.unsecure.jwt", TOKENS),
    row(
        "enable.ssl.certificate.verification",
        Only(&["true"], "certificates are always verified"),
    ),
    row("enabled_events", NotNeeded("there are no callbacks")),
    row(
        "fetch.error.backoff.ms",
        NotNeeded("`retry.backoff.ms` is what is waited"),
    ),
    row(
        "fetch.queue.backoff.ms",
        NotNeeded("a fetch follows as soon as there is memory"),
    ),
    row(
        "group.protocol.type",
        Only(
            &["consumer"],
            "Java's and librdkafka's members are of this type",
        ),
    ),
    row("https.ca.*", TOKENS),
    row("interceptors", EXTENSION),
    row("plugin.library.paths", EXTENSION),
    row(
        "message.copy.max.bytes",
        NotNeeded("every record is copied once, into its batch"),
    ),
    row(
        "message.send.max.retries",
        NotNeeded("`delivery.timeout.ms` alone bounds the retries"),
    ),
    row(
        "offset.store.*",
        Only(
            &["broker", ""],
            "offsets are committed to the group's coordinator",
        ),
    ),
    row(
        "partitioner",
        Only(&["murmur2_random"], "keys are hashed as Java does"),
    ),
    row("queue.buffering.backpressure.threshold", BUDGET),
    row("queue.buffering.max.kbytes", BUDGET),
    row("queue.buffering.max.messages", BUDGET),
    row("queued.*", BUDGET),
    row(
        "queuing.strategy",
        Only(
            &["fifo"],
            "records are sent in the order in which they were accepted",
        ),
    ),
    row(
        "receive.message.max.bytes",
        NotNeeded("`memory.budget` bounds what is received"),
    ),
    row(
        "reconnect.backoff.jitter.ms",
        NotNeeded("every wait has some jitter"),
    ),
    row("socket.blocking.max.ms", NotNeeded("nothing blocks")),
    row(
        "socket.keepalive.enable",
        Only(
            &["false"],
            "`connections.max.idle.ms` and `request.timeout.ms` end dead connections",
        ),
    ),
    row(
        "socket.max.fails",
        NotNeeded("a request that times out ends its connection"),
    ),
    row(
        "socket.nagle.disable",
        Only(&["true"], "nothing is held back"),
    ),
    row("socket.receive.buffer.bytes", SOCKETS),
    row("socket.send.buffer.bytes", SOCKETS),
    row("statistics.interval.ms", PULLED),
    row(
        "sticky.partitioning.linger.ms",
        NotNeeded("records without a key change partitions with each batch"),
    ),
    row("topic.metadata.*", LOOKUP),
    row(
        "topic.blacklist",
        NotNeeded("metadata is asked for the topics in use alone"),
    ),
    row(
        "auto.commit.enable",
        NotYet("it is called `enable.auto.commit`"),
    ),
    row("ssl.*", TLS),
];

const fn row(name: &'static str, treatment: Treatment) -> Foreign {
    Foreign { name, treatment }
}

impl Foreign {
    /// The row for `name`, if another client has such a setting.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        FOREIGN.iter().find(|foreign| foreign.is_named(name))
    }

    fn is_named(&self, name: &str) -> bool {
        match self.name.split_once('*') {
            None => self.name == name,
            Some((start, end)) => name
                .strip_prefix(start)
                .is_some_and(|rest| rest.ends_with(end)),
        }
    }
}
