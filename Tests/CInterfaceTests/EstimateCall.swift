import CV05

/// The arguments of v05_baseline_estimate and its relatives, open to be changed before the call.
final class EstimateCall {
    enum Precision: CaseIterable { case single, double }

    let memory = Memory()
    var batch: UnsafeMutablePointer<v05_batch>?
    var options: UnsafeMutablePointer<v05_estimation_options>?
    var calibration: UnsafeMutablePointer<v05_calibration>?
    var mixture: UnsafeMutablePointer<v05_mixture>?
    var workspace: UnsafeMutableRawPointer?
    var workspaceSize = 0
    var estimate: UnsafeMutablePointer<v05_estimate>?
    /// Where v05_calibration_fit writes.
    var fitted: UnsafeMutablePointer<v05_calibration>?

    init(
        _ rollouts: Rollouts = .example, _ precision: Precision = .double, _ options: v05_estimation_options = .defaults
    ) {
        let rowCount = rollouts.rowCount
        let capacity = max(rowCount, (rollouts.offsets?.count ?? 1) - 1)
        var batch = v05_batch()
        batch.struct_size = MemoryLayout<v05_batch>.size
        batch.row_count = Int64(rowCount)
        if let offsets = rollouts.offsets {
            batch.group_offsets = UnsafePointer(memory.input(offsets))
            batch.group_count = Int64(offsets.count - 1)
        } else {
            batch.group_ids = UnsafePointer(memory.input(rollouts.ids))
        }
        batch.prior = rollouts.prior.map { UnsafePointer(memory.input($0)) }
        batch.prior_strength = rollouts.strength.map { UnsafePointer(memory.input($0)) }
        batch.weights = rollouts.weights.map { UnsafePointer(memory.input($0)) }
        batch.mask = rollouts.mask.map { UnsafePointer(memory.input($0)) }

        var estimate = v05_estimate()
        estimate.struct_size = MemoryLayout<v05_estimate>.size
        switch precision {
        case .single:
            batch.rewards_f32 = UnsafePointer(memory.input(rollouts.rewards.map { Float($0) }))
            estimate.advantages_f32 = memory.output(Float.self, rowCount)
        case .double:
            batch.rewards_f64 = UnsafePointer(memory.input(rollouts.rewards))
            estimate.advantages_f64 = memory.output(Double.self, rowCount)
        }
        estimate.row_group = memory.output(Int64.self, rowCount)
        estimate.group_capacity = Int64(capacity)
        estimate.group_ids = memory.output(Int64.self, capacity)
        estimate.count = memory.output(Int64.self, capacity)
        for field in v05_estimate.realFields { estimate[keyPath: field] = memory.output(Double.self, capacity) }
        for field in v05_estimate.flagFields { estimate[keyPath: field] = memory.output(UInt8.self, capacity) }
        estimate.calibration = memory.output(holding: .unset)

        self.batch = memory.input(batch)
        self.options = memory.input(options)
        self.estimate = memory.output(holding: estimate)
        fitted = memory.output(holding: .unset)
    }

    func estimate(_ error: UnsafeMutablePointer<v05_error>?) -> v05_status {
        v05_baseline_estimate(batch, options, calibration, mixture, workspace, workspaceSize, estimate, error)
    }

    func fit(_ error: UnsafeMutablePointer<v05_error>?) -> v05_status {
        v05_calibration_fit(batch, options, workspace, workspaceSize, fitted, error)
    }

    func queryWorkspace(_ error: UnsafeMutablePointer<v05_error>?) -> v05_status {
        v05_estimation_workspace_size(batch, options, &workspaceSize, error)
    }

    /// Takes a workspace of the size that the query says, as the call's own.
    func giveWorkspace() {
        workspaceSize = 0
        _ = queryWorkspace(nil)
        workspace = memory.bytes(workspaceSize, isOutput: true)
    }

    // MARK: results

    var groupCount: Int { Int(estimate!.pointee.group_count) }

    var advantages: [Double] {
        let rowCount = Int(batch!.pointee.row_count)
        if let single = estimate!.pointee.advantages_f32 { return (0..<rowCount).map { Double(single[$0]) } }
        return (0..<rowCount).map { estimate!.pointee.advantages_f64[$0] }
    }

    func groups(_ field: KeyPath<v05_estimate, UnsafeMutablePointer<Double>?>) -> [Double] {
        let values = estimate!.pointee[keyPath: field]
        return (0..<groupCount).map { values![$0] }
    }

    /// Everything that a row gets, as bits: its advantage and the results of its group.
    func rowBits(_ row: Int) -> [UInt64] {
        let found = estimate!.pointee
        let group = Int(found.row_group[row])
        return [
            advantages[row].bitPattern, UInt64(bitPattern: found.group_ids[group]),
            UInt64(bitPattern: found.count[group]),
        ]
            + v05_estimate.realFields.map { found[keyPath: $0]![group].bitPattern }
            + v05_estimate.flagFields.map { UInt64(found[keyPath: $0]![group]) }
    }

    var bits: [[UInt64]] { (0..<Int(batch!.pointee.row_count)).map(rowBits) }
}

extension v05_estimate {
    typealias Reals = WritableKeyPath<v05_estimate, UnsafeMutablePointer<Double>?>
    typealias Flags = WritableKeyPath<v05_estimate, UnsafeMutablePointer<UInt8>?>

    static var realFields: [Reals] {
        [\.effective_count, \.mean, \.prior, \.weight, \.baseline, \.bias_squared, \.mse, \.z, \.p_value]
    }
    static var flagFields: [Flags] { [\.rejected, \.constant] }
}

extension v05_estimation_options {
    static var defaults: v05_estimation_options {
        var options = v05_estimation_options()
        _ = v05_estimation_options_initialize(&options, MemoryLayout<v05_estimation_options>.size, nil)
        return options
    }

    static func rule(_ rule: v05_rule) -> v05_estimation_options {
        var options = defaults
        options.rule = Int32(rule.rawValue)
        return options
    }

    /// Every combination of rule, leave-one-out, scale and test.
    static var all: [v05_estimation_options] {
        var all: [v05_estimation_options] = []
        for rule in V05_RULE_V05.rawValue...V05_RULE_DISCOUNTED_BETA.rawValue {
            for leaveOneOut in [0, 1] as [Int32] {
                for scale in V05_SCALE_NONE.rawValue...V05_SCALE_BATCH.rawValue {
                    for test in V05_TEST_BOUND.rawValue...V05_TEST_EXACT.rawValue {
                        var options = defaults
                        options.rule = Int32(rule)
                        options.leave_one_out = leaveOneOut
                        options.scale = Int32(scale)
                        options.test = Int32(test)
                        all.append(options)
                    }
                }
            }
        }
        return all
    }
}

extension v05_calibration {
    static var unset: v05_calibration {
        var calibration = v05_calibration()
        calibration.struct_size = MemoryLayout<v05_calibration>.size
        calibration.intercept = -77
        return calibration
    }

    /// One that can be applied.
    static var example: v05_calibration {
        var calibration = unset
        (calibration.intercept, calibration.slope, calibration.prior_variance) = (0.1, 0.8, 0.02)
        (calibration.reward_variance, calibration.grand_mean, calibration.between_variance) = (0.15, 0.4, 0.05)
        (calibration.groups, calibration.total_groups) = (20, 30)
        return calibration
    }

    var numbers: [Double] {
        [intercept, slope, prior_variance, reward_variance, grand_mean, between_variance, groups, total_groups]
    }
}
