/// How many rewards the value of a prompt is worth (method section 15), for rewards of two values: each prompt's true value
/// is Beta(t V, t (1 - V)) with a strength t from a list, and how likely each is, the visits so far say.
struct TrackerStrengths {
    /// Of prompts that are known: 1, 2, 4, ... 128.
    private(set) var known = Evidence(smallest: 1, pairs: 4)
    /// Of new ones, around the level: 1/4, 1/2, ... 8.
    private(set) var new = Evidence(smallest: 0.25, pairs: 3)

    /// L: discounted log likelihoods of the strengths of a list, two at a time, up to a constant.
    struct Evidence {
        private var logs = InlineArray<4, SIMD2<Double>>(repeating: SIMD2(repeating: 0))
        private let smallest: Double
        let pairs: Int

        fileprivate init(smallest: Double, pairs: Int) {
            self.smallest = smallest
            self.pairs = pairs
        }

        @inline(__always)
        private func strengths(_ pair: Int) -> SIMD2<Double> {
            SIMD2(smallest, 2 * smallest) * Double(1 &<< (2 &* pair))
        }

        @inline(__always)
        private func withLogs<Result>(_ body: (UnsafePointer<SIMD2<Double>>) -> Result) -> Result {
            withUnsafePointer(to: logs) { body(UnsafeRawPointer($0).assumingMemoryBound(to: SIMD2<Double>.self)) }
        }

        @inline(__always)
        private mutating func withMutableLogs(_ body: (UnsafeMutablePointer<SIMD2<Double>>) -> Void) {
            withUnsafeMutablePointer(to: &logs) {
                body(UnsafeMutableRawPointer($0).assumingMemoryBound(to: SIMD2<Double>.self))
            }
        }

        /// Adds to the sums of a batch, from `pair` on, a prompt of the value `value`.
        @_optimize(speed)
        func add(
            value: Double, successes: Int, count: Int, by likelihoods: inout RewardLikelihoods, to sums: TrackerSums,
            from pair: Int
        ) {
            // A single reward is as likely under every strength.
            if count < 2 { return }
            let found = likelihoods.find(value: value, successes: successes, count: count)
            var index = 0
            while index < pairs {
                sums.add(pair &+ index, found[index])
                index &+= 1
            }
        }

        mutating func learn(_ sums: TrackerSums, from pair: Int, forgetting: Double) {
            let count = pairs
            withMutableLogs { logs in
                var index = 0
                while index < count {
                    logs[index] = forgetting * logs[index] + sums.value(pair &+ index)
                    index &+= 1
                }
            }
        }

        mutating func merge(_ other: Evidence) {
            let count = pairs
            other.withLogs { others in
                withMutableLogs { logs in
                    var index = 0
                    while index < count {
                        logs[index] += others[index]
                        index &+= 1
                    }
                }
            }
        }

        /// For the likelihoods of a batch or of a call.
        func likelihoods(workspace: inout Workspace) throws(Failure) -> RewardLikelihoods {
            try RewardLikelihoods(smallest: smallest, workspace: &workspace)
        }

        /// Sum of q_t / (t + 1): the variance of the true value as part of V (1 - V).
        func spread() -> Double { mean(of: 0, 1, over: 1, self) }

        /// Posterior mean of the true value, after `successes` in `count` rewards.
        func mean(value: Double, successes: Int, count: Int, by likelihoods: inout RewardLikelihoods) -> Double {
            var posterior = self
            let found = likelihoods.find(value: value, successes: successes, count: count)
            posterior.withMutableLogs { logs in
                var pair = 0
                while pair < pairs {
                    logs[pair] += found[pair]
                    pair &+= 1
                }
            }
            return mean(of: value, Double(successes), over: Double(count), posterior)
        }

        /// Mean of (slope t + more) / (t + divisor), over how likely the strengths t are.
        @inline(never)
        private func mean(of slope: Double, _ more: Double, over divisor: Double, _ likely: Evidence) -> Double {
            likely.withLogs { logs in
                var largest = -Double.infinity
                var pair = 0
                while pair < pairs {
                    largest = max(largest, max(logs[pair][0], logs[pair][1]))
                    pair &+= 1
                }
                var sum = SIMD2<Double>(repeating: 0)
                var total = SIMD2<Double>(repeating: 0)
                pair = 0
                while pair < pairs {
                    let t = strengths(pair)
                    let share = exponentials(logs[pair] - largest)
                    sum += share * ((t * slope + more) / (t + divisor))
                    total += share
                    pair &+= 1
                }
                return (sum[0] + sum[1]) / (total[0] + total[1])
            }
        }

        func write(to writer: inout CheckpointWriter) {
            withLogs { logs in
                var pair = 0
                while pair < pairs {
                    writer.write(logs[pair][0])
                    writer.write(logs[pair][1])
                    pair &+= 1
                }
            }
        }

        fileprivate mutating func read(from reader: inout CheckpointReader) -> Bool {
            var isPossible = true
            let count = pairs
            withMutableLogs { logs in
                var pair = 0
                while pair < count {
                    logs[pair] = SIMD2(reader.readDouble(), reader.readDouble())
                    isPossible =
                        isPossible && logs[pair][0].magnitude <= 1e100 && logs[pair][1].magnitude <= 1e100
                    pair &+= 1
                }
            }
            return isPossible
        }
    }

    init() {}

    mutating func learn(_ sums: TrackerSums, forgetting: Double) {
        known.learn(sums, from: TrackerSums.known, forgetting: forgetting)
        new.learn(sums, from: TrackerSums.new, forgetting: forgetting)
    }

    mutating func merge(_ other: TrackerStrengths) {
        known.merge(other.known)
        new.merge(other.new)
    }

    /// Bytes of `write`.
    static var savedSize: Int { 112 }

    func write(to writer: inout CheckpointWriter) {
        known.write(to: &writer)
        new.write(to: &writer)
    }

    init(from reader: inout CheckpointReader) throws(Failure) {
        let knownIsPossible = known.read(from: &reader)
        let newIsPossible = new.read(from: &reader)
        guard knownIsPossible && newIsPossible else {
            throw Failure(.checkpointCorrupted, "checkpoint must hold likelihoods that can be")
        }
    }
}
