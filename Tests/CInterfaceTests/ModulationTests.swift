import CV05
import Testing

struct ModulationTests {
    /// Two sequences of five tokens; the third of the second does not count and holds nothing that can be.
    private final class Call {
        let memory = Memory()
        var sequences: Int64 = 2
        var tokens: Int64 = 5
        var perToken: Int32 = 1
        lazy var advantages: UnsafeMutablePointer<Float>? = memory.input([1, 1, 1, 1, 1, -1, -1, .nan, -1, -1])
        lazy var entropy: UnsafeMutablePointer<Float>? = memory.input([0.5, 0.1, 2, 0.7, 0.2, 1, 0.4, .nan, 0.3, 0.9])
        lazy var logProbability: UnsafeMutablePointer<Float>? = memory.input(
            [-0.5, -0.1, -2, -.infinity, -0.2, -1, -0.4, .nan, -0.3, -0.9])
        lazy var oldLogProbability: UnsafeMutablePointer<Float>? = memory.input(
            [-0.6, -0.1, -2.5, -3, -0.1, -1, -0.1, .infinity, -0.3, -1.5])
        lazy var mask: UnsafeMutablePointer<UInt8>? = memory.input([1, 1, 1, 1, 1, 255, 1, 0, 1, 1])
        lazy var modulated: UnsafeMutablePointer<Float>? = memory.output(Float.self, 10)
        lazy var options: UnsafeMutablePointer<v05_modulation_options>? = memory.input(.defaults)
        lazy var statistics: UnsafeMutablePointer<v05_modulation_statistics>? = memory.output(holding: .unset)

        func run(_ error: UnsafeMutablePointer<v05_error>?) -> v05_status {
            v05_advantage_modulate_f32(
                options, sequences, tokens, advantages, perToken, entropy, logProbability, oldLogProbability, mask,
                modulated,
                statistics, error)
        }

        /// All arrays in their place before the call is watched.
        func prepared() -> Call {
            _ = (advantages, entropy, logProbability, oldLogProbability, mask, modulated, options, statistics)
            return self
        }
    }

    @Test func factorsAndStatistics() {
        let call = Call().prepared()
        #expect(Outcome(call.run).isOK)
        let found = (0..<10).map { call.modulated![$0] }
        #expect(found.allSatisfy { $0.isFinite })
        #expect(found[7] == 0)
        // The most certain of all entropies gains the most, the least certain nothing.
        #expect(abs(found[1] - 1.2) <= 1e-6 && found[2] == 1)
        #expect(call.statistics!.pointee.token_count == 9)
        #expect(call.statistics!.pointee.smallest_entropy == Double(Float(0.1)))
        #expect(call.statistics!.pointee.largest_entropy == 2)
        // The ratio e^0.5 of an advantage above 0 and e^-0.3 of one below are clipped.
        #expect(abs(call.statistics!.pointee.clipped - 2.0 / 9) < 1e-12)
    }

    @Test func refusals() {
        func refuse(
            _ status: v05_status, _ part: String, index: Int64 = -1, sourceLocation: SourceLocation = #_sourceLocation,
            _ change: (Call) -> Void
        ) {
            let call = Call().prepared()
            change(call)
            Outcome.expectRefusal(
                status, [part], index: index, in: call.memory, sourceLocation: sourceLocation, call.run)
        }
        refuse(V05_STATUS_NULL_POINTER, "advantages must not be NULL") { $0.advantages = nil }
        refuse(V05_STATUS_NULL_POINTER, "entropy must not be NULL") { $0.entropy = nil }
        refuse(V05_STATUS_NULL_POINTER, "log_prob must not be NULL") { $0.logProbability = nil }
        refuse(V05_STATUS_NULL_POINTER, "old_log_prob must not be NULL") { $0.oldLogProbability = nil }
        refuse(V05_STATUS_NULL_POINTER, "mask must not be NULL") { $0.mask = nil }
        refuse(V05_STATUS_NULL_POINTER, "modulated must not be NULL") { $0.modulated = nil }
        refuse(V05_STATUS_INVALID_SIZE, "sequence_count must lie in 0 to 2147483647, got -1") { $0.sequences = -1 }
        refuse(V05_STATUS_INVALID_SIZE, "token_count must lie in 0 to 2147483647") { $0.tokens = 1 << 31 }
        refuse(V05_STATUS_INVALID_OPTION, "per_token must be 0 or 1, got 2") { $0.perToken = 2 }
        for array in [\Call.entropy, \Call.advantages, \Call.logProbability, \Call.oldLogProbability] {
            refuse(V05_STATUS_OVERLAPPING_ARRAYS, "modulated must share memory with nothing else") {
                $0.modulated = $0[keyPath: array]
            }
        }
        refuse(V05_STATUS_INVALID_TOKEN, "entropy[3] must be at most 1e30", index: 3) { $0.entropy![3] = .nan }
        refuse(
            V05_STATUS_INVALID_TOKEN, "log_prob[9] must be a log-probability (1 at most) where mask counts it, got nan",
            index: 9
        ) {
            $0.logProbability![9] = .nan
        }
        refuse(V05_STATUS_INVALID_TOKEN, "old_log_prob[5] must be a log-probability", index: 5) {
            $0.oldLogProbability![5] = 1.5
        }
        refuse(V05_STATUS_INVALID_TOKEN, "advantages[0] must be at most 1e30", index: 0) {
            $0.advantages![0] = -.infinity
        }
        refuse(V05_STATUS_INVALID_OPTION, "alpha must lie in [0, 1e6], got -1") { $0.options!.pointee.alpha = -1 }
        refuse(V05_STATUS_INVALID_OPTION, "floor must lie in [0, 1], got 1.5") { $0.options!.pointee.floor = 1.5 }
        refuse(V05_STATUS_INVALID_OPTION, "steepness must be finite") { $0.options!.pointee.steepness = .infinity }
        refuse(V05_STATUS_INVALID_OPTION, "threshold must be finite") { $0.options!.pointee.threshold = .nan }
        refuse(V05_STATUS_INVALID_OPTION, "clip_low must lie in [0, 1]") { $0.options!.pointee.clip_low = 1.01 }
        refuse(V05_STATUS_INVALID_OPTION, "clip_high must be finite") { $0.options!.pointee.clip_high = -0.1 }
    }

    @Test func nothingToDo() {
        let call = Call().prepared()
        call.tokens = 0
        (call.advantages, call.entropy, call.modulated) = (nil, nil, nil)
        #expect(Outcome(call.run).isOK)
        #expect(call.statistics!.pointee.token_count == 0 && call.statistics!.pointee.compensation == 1)
    }
}
