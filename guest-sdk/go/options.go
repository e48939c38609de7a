package retake

import (
	"math"
	"time"
)

// Option is something that a flow or a task asks for.
type Option func(*options)

type options struct {
	policy      Policy
	description string
	version     string
	tags        []string
	timeout     time.Duration
	cpu         time.Duration
	memory      uint64
	logPrints   bool
	dropResult  bool
	secrets     []string
	variables   []string
}

// Policy says how often and when a failed attempt is tried again. The zero Policy does not.
type Policy struct {
	// Retries are attempts after the first, at most 10,000.
	Retries uint32
	// Delays are the waits before them, each at most 30 days; the last is repeated.
	Delays []time.Duration
	// Factor, 1 to 100, makes each wait so many times the one before; Delays has the first then.
	Factor float64
	// DelayMax cuts longer waits.
	DelayMax time.Duration
	// Jitter, 0 to 1, adds up to that share of the wait, at random.
	Jitter float64
	// GiveUpAfter lets no attempt begin later than that after the first one began.
	GiveUpAfter time.Duration
	// FailOn are codes, or prefixes ending in `.*`, that are final; ParkOn those that wait for a person.
	FailOn, ParkOn []string
	// Park lets the run wait for a person when the retries are used up, instead of failing.
	Park bool
}

// Retries lets it be tried again so many times.
func Retries(n uint32) Option { return func(it *options) { it.policy.Retries = n } }

// Delay waits before each retry: the first for the first, and so on; the last is repeated.
func Delay(waits ...time.Duration) Option { return func(it *options) { it.policy.Delays = waits } }

// Backoff waits for initial before the first retry, then each time factor times as long.
func Backoff(initial time.Duration, factor float64) Option {
	return func(it *options) { it.policy.Delays, it.policy.Factor = []time.Duration{initial}, factor }
}

// Jitter adds up to that share of each wait, 0 to 1, at random.
func Jitter(share float64) Option { return func(it *options) { it.policy.Jitter = share } }

// Retry sets the whole policy.
func Retry(policy Policy) Option { return func(it *options) { it.policy = policy } }

// Describe says for people what it does.
func Describe(text string) Option { return func(it *options) { it.description = text } }

// Version of a task is raised when kept results must not be used by new code. It is "1" otherwise.
func Version(version string) Option { return func(it *options) { it.version = version } }

// Tags of a task are what limits are set for.
func Tags(tags ...string) Option { return func(it *options) { it.tags = tags } }

// Timeout is how long an attempt may take.
func Timeout(timeout time.Duration) Option { return func(it *options) { it.timeout = timeout } }

// CPU is how much processor time an attempt may use: 10 s unless it says so, and 300 s at most.
func CPU(time time.Duration) Option { return func(it *options) { it.cpu = time } }

// Memory is how many bytes an attempt may use.
func Memory(bytes uint64) Option { return func(it *options) { it.memory = bytes } }

// LogPrints makes log lines of what is printed on stdout; what is printed on stderr is logged anyway.
func LogPrints() Option { return func(it *options) { it.logPrints = true } }

// DropResult does not keep the result: it is run again in each attempt of its flow.
func DropResult() Option { return func(it *options) { it.dropResult = true } }

// Secrets are what it asks for by Secret.
func Secrets(names ...string) Option { return func(it *options) { it.secrets = names } }

// Variables are what it asks for by Variable.
func Variables(names ...string) Option { return func(it *options) { it.variables = names } }

// milliseconds rounds up, so that no wait is shorter than was asked for.
func milliseconds(wait time.Duration) uint64 {
	if wait <= 0 {
		return 0
	}
	return uint64(math.Ceil(float64(wait) / float64(time.Millisecond)))
}
