import SeededRandom
@testable import Estimation

/// A batch that owns its arrays.
struct Rollouts {
    var rewards: [Double]
    var ids: [Int64]
    var priors: [Double]?
    var strengths: [Double]?
    var mask: [UInt8]?
    /// Where not nil, groups are told by these and not by ids; priors and strengths are one per group then.
    var offsets: [Int64]?
    /// Handed over in single precision.
    var isSingle = false

    var groupCount: Int { offsets.map { $0.count - 1 } ?? Set(ids).count }

    init(rewards: [Double], ids: [Int64], priors: [Double]? = nil, strengths: [Double]? = nil, mask: [UInt8]? = nil) {
        self.rewards = rewards
        self.ids = ids
        self.priors = priors
        self.strengths = strengths
        self.mask = mask
    }

    init(rewards: [Double], offsets: [Int64], priors: [Double]? = nil) {
        self.init(rewards: rewards, ids: [], priors: priors)
        self.offsets = offsets
    }

    /// `groupCount` prompts with 1 to `largest` rollouts each, mixed, every third prompt without prior.
    static func random(groupCount: Int, largest: Int, in interval: Interval, using random: inout SeededRandom)
        -> Rollouts
    {
        let range = interval.low...interval.high
        var rows: [(reward: Double, id: Int64, prior: Double, strength: Double, counted: UInt8)] = []
        for group in 0..<groupCount {
            let id = Int64.random(in: .min ... .max, using: &random)
            let prior = group % 3 == 2 ? .nan : Double.random(in: range, using: &random)
            let strength = Double.random(in: 0...10, using: &random)
            for _ in 0..<Int.random(in: 1...largest, using: &random) {
                let counted: UInt8 = UInt8.random(in: 0..<10, using: &random) == 0 ? 0 : 1
                rows.append((Double.random(in: range, using: &random), id, prior, strength, counted))
            }
        }
        rows.shuffle(using: &random)
        return Rollouts(
            rewards: rows.map(\.reward), ids: rows.map(\.id), priors: rows.map(\.prior),
            strengths: rows.map(\.strength), mask: rows.map(\.counted))
    }

    /// Rows `order[0]`, `order[1]`, ...
    func rearranged(_ order: [Int]) -> Rollouts {
        Rollouts(
            rewards: order.map { rewards[$0] }, ids: order.map { ids[$0] },
            priors: priors.map { priors in order.map { priors[$0] } },
            strengths: strengths.map { strengths in order.map { strengths[$0] } },
            mask: mask.map { mask in order.map { mask[$0] } })
    }

    func withBatch<Result>(_ body: (Batch) throws -> Result) rethrows -> Result {
        let memory = Memory()
        defer { memory.release() }
        return try body(
            Batch(
                rowCount: rewards.count,
                rewards: isSingle
                    ? .single(memory.copy(of: rewards.map { Float($0) })) : .double(memory.copy(of: rewards)),
                groups: offsets.map { .offsets(memory.copy(of: $0), count: $0.count - 1) }
                    ?? .ids(memory.copy(of: ids)),
                priors: memory.copy(of: priors), strengths: memory.copy(of: strengths), mask: memory.copy(of: mask)))
    }

    /// All results.
    func estimate(_ options: EstimationOptions, calibration: Calibration? = nil) throws -> EstimatedRollouts {
        var workspace = Workspace()
        defer { workspace.release() }
        return try estimate(options, calibration: calibration, workspace: &workspace)
    }

    func estimate(
        _ options: EstimationOptions, calibration: Calibration? = nil, workspace: inout Workspace
    ) throws -> EstimatedRollouts {
        try withBatch { try EstimatedRollouts($0, groupCount: groupCount, options, calibration, workspace: &workspace) }
    }

    /// Advantages and nothing else, which is where the fast path may be taken.
    func advantages(_ options: EstimationOptions) throws -> [Double] {
        var workspace = Workspace()
        defer { workspace.release() }
        return try advantages(options, workspace: &workspace)
    }

    func advantages(_ options: EstimationOptions, workspace: inout Workspace) throws -> [Double] {
        let results = AdvantageResults(rowCount: rewards.count, isSingle: isSingle)
        defer { results.memory.release() }
        var output = EstimationOutput()
        output.advantages = results.column
        _ = try withBatch {
            try BatchEstimation.estimate($0, options: options, calibration: nil, to: output, workspace: &workspace)
        }
        return results.values
    }

    func takesQuickWay(_ options: EstimationOptions) throws -> Bool {
        var workspace = Workspace()
        defer { workspace.release() }
        return try withBatch {
            try PlainEstimation($0, options: options, output: EstimationOutput(), workspace: &workspace) != nil
        }
    }

    func calibrate(_ interval: Interval) throws -> CalibrationFit {
        var workspace = Workspace()
        defer { workspace.release() }
        return try withBatch { try CalibrationFit($0, interval: interval, workspace: &workspace) }
    }
}

/// A column to write advantages to, full of a number that no test expects.
private struct AdvantageResults {
    let memory = Memory()
    let column: AdvantageColumn
    private let rowCount: Int

    init(rowCount: Int, isSingle: Bool) {
        self.rowCount = rowCount
        column =
            isSingle
            ? .single(memory.copy(of: [Float](repeating: -77, count: rowCount)))
            : .double(memory.copy(of: [Double](repeating: -77, count: rowCount)))
    }

    var values: [Double] {
        switch column {
        case .single(let advantages): (0..<rowCount).map { Double(advantages[$0]) }
        case .double(let advantages): (0..<rowCount).map { advantages[$0] }
        }
    }
}

/// Results that own their arrays.
struct EstimatedRollouts {
    var advantages: [Double]
    var rowGroup: [Int64]
    var ids: [Int64]
    var count: [Int64]
    var mean, prior, weight, baseline, biasSquared, mse, z, pValue: [Double]
    var rejected, constant: [UInt8]
    let applied: AppliedEstimation

    init(
        _ batch: Batch, groupCount: Int, _ options: EstimationOptions, _ calibration: Calibration?,
        workspace: inout Workspace
    ) throws {
        var isSingle = false
        if case .single = batch.rewards { isSingle = true }
        let results = AdvantageResults(rowCount: batch.rowCount, isSingle: isSingle)
        let memory = results.memory
        defer { memory.release() }
        func whole(_ count: Int) -> UnsafeMutablePointer<Int64> {
            memory.copy(of: [Int64](repeating: -77, count: count))
        }
        func real() -> UnsafeMutablePointer<Double> { memory.copy(of: [Double](repeating: -77, count: groupCount)) }
        func flag() -> UnsafeMutablePointer<UInt8> { memory.copy(of: [UInt8](repeating: 77, count: groupCount)) }
        var output = EstimationOutput()
        output.advantages = results.column
        output.rowGroup = whole(batch.rowCount)
        output.groupCapacity = groupCount
        output.groupIds = whole(groupCount)
        output.count = whole(groupCount)
        output.mean = real()
        output.prior = real()
        output.weight = real()
        output.baseline = real()
        output.biasSquared = real()
        output.mse = real()
        output.z = real()
        output.pValue = real()
        output.rejected = flag()
        output.constant = flag()
        applied = try BatchEstimation.estimate(
            batch, options: options, calibration: calibration, to: output, workspace: &workspace)
        func read<Element>(_ pointer: UnsafeMutablePointer<Element>?, _ count: Int) -> [Element] {
            [Element](UnsafeBufferPointer(start: pointer, count: count))
        }
        advantages = results.values
        rowGroup = read(output.rowGroup, batch.rowCount)
        ids = read(output.groupIds, applied.groupCount)
        count = read(output.count, applied.groupCount)
        mean = read(output.mean, applied.groupCount)
        prior = read(output.prior, applied.groupCount)
        weight = read(output.weight, applied.groupCount)
        baseline = read(output.baseline, applied.groupCount)
        biasSquared = read(output.biasSquared, applied.groupCount)
        mse = read(output.mse, applied.groupCount)
        z = read(output.z, applied.groupCount)
        pValue = read(output.pValue, applied.groupCount)
        rejected = read(output.rejected, applied.groupCount)
        constant = read(output.constant, applied.groupCount)
    }

    /// Every number as bits, so that NaN equals NaN and -0 differs from 0.
    var bits: [UInt64] {
        [advantages, mean, prior, weight, baseline, biasSquared, mse, z, pValue].flatMap { $0.map(\.bitPattern) }
            + (rowGroup + ids + count).map { UInt64(bitPattern: $0) } + (rejected + constant).map { UInt64($0) }
    }
}

/// Every rule with every way to use it that a random batch allows.
enum AllOptions {
    static func over(_ interval: Interval, epsilon: Double = 1e-6, isTwoValued: Bool = false) -> [EstimationOptions] {
        var all: [EstimationOptions] = []
        for rule in (Int32(0)...).lazy.map(BaselineRule.init).prefix(while: { $0 != nil }).compactMap({ $0 })
        where isTwoValued || rule != .mixture {
            for leaveOneOut in [false, true] {
                for scale in [AdvantageScale.none, .group, .batch] {
                    for singleton in [SingletonConvention.zero, .raw] {
                        var options = EstimationOptions()
                        options.rule = rule
                        options.interval = interval
                        options.leaveOneOut = leaveOneOut
                        options.scale = scale
                        options.singleton = singleton
                        options.epsilon = epsilon
                        all.append(options)
                    }
                }
            }
        }
        return all
    }
}
