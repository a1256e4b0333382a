import CV05
import Testing

/// v05_baseline_estimate with one thing wrong: a status, a message and untouched outputs.
struct BaselineRefusalTests {
    private typealias Change = (EstimateCall) -> Void

    private func expect(
        _ status: v05_status, _ parts: String..., index: Int64? = nil, precision: EstimateCall.Precision = .double,
        sourceLocation: SourceLocation = #_sourceLocation, _ change: Change
    ) {
        let call = EstimateCall(.example, precision)
        change(call)
        Outcome.expectRefusal(
            status, parts, index: index, in: call.memory, sourceLocation: sourceLocation, call.estimate)
    }

    @Test func missingPointers() {
        expect(V05_STATUS_NULL_POINTER, "batch must not be NULL") { $0.batch = nil }
        expect(V05_STATUS_NULL_POINTER, "estimate must not be NULL") { $0.estimate = nil }
        expect(V05_STATUS_NULL_POINTER, "rewards", "NULL") { $0.batch?.pointee.rewards_f64 = nil }
        expect(V05_STATUS_NULL_POINTER, "group", "NULL") { $0.batch?.pointee.group_ids = nil }
    }

    @Test func argumentsThatExcludeEachOther() {
        expect(V05_STATUS_INVALID_OPTION, "rewards", "rewards_f32 or rewards_f64") {
            $0.batch?.pointee.rewards_f32 = UnsafePointer($0.memory.input([Float](repeating: 0, count: 8)))
        }
        expect(V05_STATUS_INVALID_OPTION, "group_ids or group_offsets") {
            $0.batch?.pointee.group_offsets = UnsafePointer($0.memory.input([0, 8]))
        }
        expect(V05_STATUS_INVALID_OPTION, "advantages", "type of the rewards") {
            $0.estimate?.pointee.advantages_f32 = $0.memory.output(Float.self, 8)
        }
        expect(V05_STATUS_INVALID_OPTION, "advantages", "type of the rewards", precision: .single) {
            $0.estimate?.pointee.advantages_f64 = $0.memory.output(Double.self, 8)
        }
    }

    @Test(arguments: [-1, .min, 2_147_483_648, .max] as [Int64])
    func impossibleSizes(_ size: Int64) {
        expect(V05_STATUS_INVALID_SIZE, "row_count", "0 to 2147483647", "got \(size)") {
            $0.batch?.pointee.row_count = size
        }
        expect(V05_STATUS_INVALID_SIZE, "group_count", "0 to 2147483647", "got \(size)") {
            $0.batch?.pointee.group_ids = nil
            $0.batch?.pointee.group_offsets = UnsafePointer($0.memory.input([0, 8]))
            $0.batch?.pointee.group_count = size
        }
    }

    @Test func capacities() {
        for capacity in [0, 1, 2] as [Int64] {
            expect(V05_STATUS_CAPACITY_TOO_SMALL, "group_capacity", "got \(capacity) and 3") {
                $0.estimate?.pointee.group_capacity = capacity
            }
        }
        expect(V05_STATUS_INVALID_SIZE, "group_capacity", "got -1") { $0.estimate?.pointee.group_capacity = -1 }
    }

    @Test func workspaces() {
        expect(V05_STATUS_WORKSPACE_TOO_SMALL, "workspace_size") {
            $0.workspace = $0.memory.bytes(64, isOutput: true)
            $0.workspaceSize = 0
        }
        expect(V05_STATUS_INVALID_SIZE, "workspace_size") {
            $0.workspace = $0.memory.bytes(64, isOutput: true)
            $0.workspaceSize = -1
        }
    }

    @Test func advantagesOverRewards() {
        for shift in [-7, -1, 0, 1, 7] {
            for precision in EstimateCall.Precision.allCases {
                expect(V05_STATUS_OVERLAPPING_ARRAYS, "advantages", "share memory", precision: precision) { call in
                    let shared = call.memory.output(Double.self, 30)
                    for place in 0..<30 { shared[place] = 0 }
                    switch precision {
                    case .double:
                        call.batch?.pointee.rewards_f64 = UnsafePointer(shared + 10)
                        call.estimate?.pointee.advantages_f64 = shared + 10 + shift
                    case .single:
                        let single = UnsafeMutableRawPointer(shared).assumingMemoryBound(to: Float.self)
                        call.batch?.pointee.rewards_f32 = UnsafePointer(single + 10)
                        call.estimate?.pointee.advantages_f32 = single + 10 + shift
                    }
                }
            }
        }
    }

    /// Side by side is not on top of each other.
    @Test func advantagesBesideRewards() {
        for shift in [-8, 8] {
            let call = EstimateCall()
            let shared = call.memory.output(Double.self, 24)
            for place in 0..<24 { shared[place] = 0 }
            call.batch?.pointee.rewards_f64 = UnsafePointer(shared + 8)
            call.estimate?.pointee.advantages_f64 = shared + 8 + shift
            #expect(Outcome(call.estimate).isOK)
        }
    }

    // MARK: data

    private func setReward(_ value: Double, at row: Int) -> Change {
        { call in
            if let rewards = call.batch?.pointee.rewards_f32 {
                UnsafeMutablePointer(mutating: rewards)[row] = Float(value)
            }
            if let rewards = call.batch?.pointee.rewards_f64 { UnsafeMutablePointer(mutating: rewards)[row] = value }
        }
    }

    private func set(_ field: KeyPath<v05_batch, UnsafePointer<Double>?>, _ value: Double, at row: Int) -> Change {
        { UnsafeMutablePointer(mutating: $0.batch!.pointee[keyPath: field]!)[row] = value }
    }

    @Test(arguments: EstimateCall.Precision.allCases)
    func badRewards(_ precision: EstimateCall.Precision) {
        for row in [0, 3, 7] {
            for (value, text) in [(Double.nan, "nan"), (.infinity, "inf"), (-.infinity, "-inf")] {
                expect(
                    V05_STATUS_INVALID_REWARD, "rewards[\(row)] must be finite", "got \(text)", index: Int64(row),
                    precision: precision,
                    setReward(value, at: row))
            }
            expect(
                V05_STATUS_INVALID_REWARD, "rewards[\(row)]", "1e30", "got -1", index: Int64(row), precision: precision,
                setReward(-1e35, at: row))
            for value in [1.5, -0.25] {
                expect(
                    V05_STATUS_REWARD_OUT_OF_RANGE, "rewards[\(row)] must lie in reward_range", "[0, 1]",
                    "got \(value)", index: Int64(row),
                    precision: precision, setReward(value, at: row))
            }
        }
        expect(V05_STATUS_REWARD_NOT_TWO_VALUED, "rewards", "exact test", "got 0.5", precision: precision) {
            $0.options?.pointee.test = Int32(V05_TEST_EXACT.rawValue)
        }
    }

    /// The first bad row is the one that is named, whatever comes later.
    @Test func badRewardUnderEveryRule() {
        for options in v05_estimation_options.all {
            let call = EstimateCall(.example, .double, options)
            setReward(.nan, at: 5)(call)
            if options.test == 0 {
                Outcome.expectRefusal(
                    V05_STATUS_INVALID_REWARD, ["rewards[5]"], index: 5, in: call.memory, call.estimate)
            } else {
                #expect(!Outcome(call.estimate).isOK)
            }
        }
    }

    @Test func badPriors() {
        for value in [1.1, -0.1, .infinity, -.infinity, 1e300] {
            expect(V05_STATUS_INVALID_PRIOR, "prior[5]", "reward_range", "[0, 1]", index: 5, set(\.prior, value, at: 5))
        }
        expect(
            V05_STATUS_PRIOR_DISAGREES, "prior[3]", "same for all rows", "got 0.5 and 0.625", index: 3,
            set(\.prior, 0.625, at: 3))
        expect(V05_STATUS_PRIOR_DISAGREES, "prior[3]", "got 0.5 and nan", index: 3, set(\.prior, .nan, at: 3))
        expect(V05_STATUS_PRIOR_DISAGREES, "prior[4]", "got nan and 0.25", index: 4, set(\.prior, 0.25, at: 4))
        for value in [-1, .nan, .infinity, 1e31] {
            expect(
                V05_STATUS_INVALID_PRIOR, "prior_strength[5]", "finite and not negative", index: 5,
                set(\.prior_strength, value, at: 5))
        }
        expect(
            V05_STATUS_PRIOR_DISAGREES, "prior_strength[3]", "got 2 and 4", index: 3, set(\.prior_strength, 4, at: 3))
    }

    @Test(
        arguments: [
            ([1, 3, 8], 0, "got 1"), ([-1, 3, 8], 0, "got -1"), ([0, 9, 8], 2, "got 9 and 8"),
            ([0, -1, 8], 1, "got 0 and -1"),
            ([0, 3, 7], 2, "got 7 and 8"), ([0, 3, 9], 2, "got 9 and 8"),
            ([0, .max, 8], 2, "got 9223372036854775807 and 8"),
            ([.min, 3, 8], 0, "got -9223372036854775808"),
        ] as [([Int64], Int64, String)])
    func badOffsets(_ offsets: [Int64], _ index: Int64, _ value: String) {
        expect(V05_STATUS_INVALID_OFFSETS, "group_offsets[\(index)]", value, index: index) { call in
            call.batch?.pointee.group_ids = nil
            call.batch?.pointee.prior = nil
            call.batch?.pointee.group_offsets = UnsafePointer(call.memory.input(offsets))
            call.batch?.pointee.group_count = 2
        }
    }

    @Test func badCalibrations() {
        let fields: [WritableKeyPath<v05_calibration, Double>] = [
            \.intercept, \.slope, \.prior_variance, \.reward_variance, \.grand_mean, \.between_variance, \.groups,
            \.total_groups,
        ]
        for (place, field) in fields.enumerated() {
            for value in [.nan, .infinity, -.infinity] + ([2, 3, 5, 6, 7].contains(place) ? [-1e-300, -1] : []) {
                expect(V05_STATUS_INVALID_CALIBRATION, "calibration") { call in
                    var calibration = v05_calibration.example
                    calibration[keyPath: field] = value
                    call.calibration = call.memory.input(calibration)
                }
            }
        }
    }

    // MARK: options

    @Test func unknownNumbers() {
        let fields: [(WritableKeyPath<v05_estimation_options, Int32>, String, Int32)] = [
            (\.rule, "rule", 11), (\.leave_one_out, "leave_one_out", 2), (\.check_fit, "check_fit", 2),
            (\.reserved, "reserved", 1), (\.scale, "scale", 3), (\.ddof, "ddof", 2),
            (\.singleton, "singleton", 2), (\.test, "test", 2),
        ]
        for (field, name, first) in fields {
            for value in [first, -1, .max, .min] {
                expect(V05_STATUS_INVALID_OPTION, name, "got \(value)") { $0.options?.pointee[keyPath: field] = value }
            }
        }
    }

    @Test func impossibleNumbers() {
        for (value, text) in [(-1e-9, "-1e-09"), (.nan, "nan"), (.infinity, "inf"), (-.infinity, "-inf")] {
            expect(V05_STATUS_INVALID_OPTION, "epsilon", "got \(text)") { $0.options?.pointee.epsilon = value }
            expect(V05_STATUS_INVALID_OPTION, "level", "got \(text)") { $0.options?.pointee.level = value }
        }
        expect(V05_STATUS_INVALID_OPTION, "level", "got 1.5") { $0.options?.pointee.level = 1.5 }
        for (low, high, text) in [
            (1.0, 1.0, "got 1 and 1"), (2, 1, "got 2 and 1"), (.nan, 1, "got nan and 1"), (0, .nan, "got 0 and nan"),
            (0, .infinity, "got 0 and inf"), (-.infinity, 1, "got -inf and 1"), (0, 1e31, "got 0 and 1e+31"),
            (-1e31, 0, "got -1e+31 and 0"),
        ] {
            expect(V05_STATUS_INVALID_OPTION, "reward_range", text) {
                $0.options?.pointee.reward_low = low
                $0.options?.pointee.reward_high = high
            }
        }
    }
}
