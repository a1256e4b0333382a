import CV05
import SeededRandom
import Testing

struct BaselineTests {
    @Test func emptyBatches() {
        for options in v05_estimation_options.all {
            for precision in EstimateCall.Precision.allCases {
                let call = EstimateCall(Rollouts(rewards: [], ids: []), precision, options)
                #expect(Outcome(call.estimate).isOK)
                #expect(call.groupCount == 0)
            }
            let bare = EstimateCall(Rollouts(rewards: [], ids: []), .double, options)
            bare.batch!.pointee.rewards_f64 = nil
            bare.batch!.pointee.group_ids = nil
            #expect(Outcome(bare.estimate).isOK && bare.groupCount == 0)
            #expect(Outcome(bare.fit).isOK)
        }
    }

    /// Groups without a counted row: by offsets that do not move, and by a mask.
    @Test func groupsWithoutRewards() {
        let withoutRows = Rollouts(
            rewards: [1, 0, 1], ids: [], prior: [0.25, 0.5, .nan, .nan], strength: [4, 1, 0, 0],
            offsets: [0, 0, 2, 2, 3])
        let masked = Rollouts(
            rewards: [.nan, 1, 0, .infinity, 1], ids: [1, 2, 2, 3, 4], prior: [0.25, 0.5, 0.5, .nan, .nan],
            strength: [4, 1, 1, 0, 0],
            mask: [0, 1, 1, 0, 1])
        for options in v05_estimation_options.all {
            for rollouts in [withoutRows, masked] {
                let call = EstimateCall(rollouts, .double, options)
                #expect(Outcome(call.estimate).isOK)
                #expect(call.groupCount == 4)
                #expect(call.advantages.allSatisfy { $0.isFinite })
                let found = call.estimate!.pointee
                #expect(found.count[0] == 0 && found.count[1] == 2 && found.count[2] == 0 && found.count[3] == 1)
                #expect(found.mean[0].isNaN && found.z[0].isNaN && found.bias_squared[0].isNaN)
                #expect(
                    found.rejected[0] == 0 && found.constant[0] == 0 && found.constant[1] == 0 && found.constant[3] == 1
                )
                switch v05_rule(UInt32(options.rule)) {
                case V05_RULE_V05, V05_RULE_PRIOR, V05_RULE_DISCOUNTED_BETA, V05_RULE_CALIBRATED:
                    #expect(found.weight[0] == 0 && found.baseline[0] == 0.25)
                default:
                    #expect(found.weight[0].isNaN && found.baseline[0].isNaN)
                }
                #expect(found.baseline[2].isNaN)
            }
        }
    }

    /// A masked row counts for nothing, whatever is in it.
    @Test func maskedRows() {
        var random = SeededRandom(1)
        for values in Rollouts.Values.allCases {
            let rollouts = Rollouts.random(12, values, using: &random)
            for options in v05_estimation_options.all where options.test == 0 || values == .twoValued {
                let call = EstimateCall(rollouts, .double, options)
                var spoiled = rollouts
                for row in rollouts.rewards.indices where rollouts.mask![row] == 0 {
                    spoiled.rewards[row] = [.nan, 1e300, -5][row % 3]
                    // The prior of a group without counted row is that of its first row.
                    let counts = rollouts.rewards.indices.contains {
                        rollouts.ids[$0] == rollouts.ids[row] && rollouts.mask![$0] != 0
                    }
                    if counts { spoiled.prior![row] = 99 }
                }
                let other = EstimateCall(spoiled, .double, options)
                #expect(Outcome(call.estimate).isOK && Outcome(other.estimate).isOK)
                #expect(call.bits == other.bits)
                for row in rollouts.rewards.indices where rollouts.mask![row] == 0 {
                    #expect(call.advantages[row] == 0)
                }
            }
        }
    }

    /// Skipping a result does not change the others.
    @Test func everyResultIsOptional() {
        var random = SeededRandom(2)
        let rollouts = Rollouts.random(10, .any, using: &random)
        let skips: [(inout v05_estimate) -> Void] =
            [
                { $0.advantages_f64 = nil }, { $0.row_group = nil }, { $0.group_ids = nil }, { $0.count = nil },
                { $0.calibration = nil },
            ]
            + v05_estimate.realFields.map { field in { $0[keyPath: field] = nil } }
            + v05_estimate.flagFields.map { field in { $0[keyPath: field] = nil } }
        for options in v05_estimation_options.all where options.test == 0 {
            let full = EstimateCall(rollouts, .double, options)
            #expect(Outcome(full.estimate).isOK)
            for skip in skips {
                let call = EstimateCall(rollouts, .double, options)
                let complete = call.estimate!.pointee
                skip(&call.estimate!.pointee)
                call.memory.watch()
                #expect(Outcome(call.estimate).isOK)
                #expect(call.memory.inputsAreUntouched)
                // What was skipped is as it was: filled with a pattern. Put it back and compare the rest.
                let counts = (call.estimate!.pointee.group_count, call.estimate!.pointee.applied_rule)
                call.estimate!.pointee = complete
                (call.estimate!.pointee.group_count, call.estimate!.pointee.applied_rule) = counts
                #expect(
                    counts.0 == full.estimate!.pointee.group_count && counts.1 == full.estimate!.pointee.applied_rule)
                let patterns = Set([UInt64(0xA5A5_A5A5_A5A5_A5A5), 0xA5])
                guard UInt64(bitPattern: complete.row_group[0]) != 0xA5A5_A5A5_A5A5_A5A5,
                    UInt64(bitPattern: complete.group_ids[0]) != 0xA5A5_A5A5_A5A5_A5A5
                else { continue }
                let isEqual = zip(call.bits, full.bits).allSatisfy {
                    zip($0, $1).allSatisfy { $0 == $1 || patterns.contains($0) }
                }
                #expect(isEqual)
            }
        }
    }

    /// Advantages alone are what they are beside everything else, however the rows are laid out.
    @Test func advantagesAlone() {
        var random = SeededRandom(3)
        for values in Rollouts.Values.allCases {
            var mixed = Rollouts.random(20, values, using: &random)
            mixed.mask = nil
            mixed.strength = nil
            let sorted = mixed.rearranged(mixed.ids.indices.sorted { (mixed.ids[$0], $0) < (mixed.ids[$1], $1) })
            for options in v05_estimation_options.all where options.test == 0 || values == .twoValued {
                for precision in EstimateCall.Precision.allCases {
                    for rollouts in [mixed, sorted, mixed.asOffsets] {
                        let full = EstimateCall(rollouts, precision, options)
                        let alone = EstimateCall(rollouts, precision, options)
                        var estimate = v05_estimate()
                        estimate.struct_size = MemoryLayout<v05_estimate>.size
                        estimate.advantages_f32 = alone.estimate!.pointee.advantages_f32
                        estimate.advantages_f64 = alone.estimate!.pointee.advantages_f64
                        alone.estimate!.pointee = estimate
                        #expect(Outcome(full.estimate).isOK && Outcome(alone.estimate).isOK)
                        #expect(alone.advantages.map(\.bitPattern) == full.advantages.map(\.bitPattern))
                        #expect(alone.groupCount == full.groupCount)
                    }
                }
            }
        }
    }

    @Test func offsetsAndIdsAgree() {
        var random = SeededRandom(4)
        for values in Rollouts.Values.allCases {
            let byOffsets = Rollouts.random(20, values, using: &random).asOffsets
            var byIds = byOffsets
            byIds.offsets = nil
            let groups = zip(byOffsets.offsets!, byOffsets.offsets!.dropFirst()).enumerated()
            byIds.prior = groups.flatMap { group, range in (range.0..<range.1).map { _ in byOffsets.prior![group] } }
            byIds.strength = groups.flatMap { group, range in
                (range.0..<range.1).map { _ in byOffsets.strength![group] }
            }
            byIds.ids = groups.flatMap { group, range in (range.0..<range.1).map { _ in Int64(group) } }
            for options in v05_estimation_options.all where options.test == 0 || values == .twoValued {
                let one = EstimateCall(byOffsets, .double, options)
                let other = EstimateCall(byIds, .double, options)
                #expect(Outcome(one.estimate).isOK && Outcome(other.estimate).isOK)
                #expect(one.bits == other.bits)
            }
        }
    }

    @Test func tooLittleToCalibrate() {
        for (rule, applied) in [(V05_RULE_CALIBRATED, V05_RULE_V05), (V05_RULE_JAMES_STEIN, V05_RULE_GRPO)] {
            let call = EstimateCall(.example, .double, .rule(rule))
            let plain = EstimateCall(.example, .double, .rule(applied))
            #expect(Outcome(call.estimate).isOK && Outcome(plain.estimate).isOK)
            #expect(call.estimate!.pointee.applied_rule == Int32(applied.rawValue))
            #expect(call.estimate!.pointee.calibration_applied == 0)
            #expect(call.estimate!.pointee.calibration.pointee.intercept == -77, "left alone where none was applied")
            #expect(call.bits == plain.bits)
        }
    }

    @Test func aGivenCalibrationIsApplied() {
        for rule in [V05_RULE_CALIBRATED, V05_RULE_JAMES_STEIN] {
            let call = EstimateCall(.example, .double, .rule(rule))
            call.calibration = call.memory.input(v05_calibration.example)
            #expect(Outcome(call.estimate).isOK)
            let found = call.estimate!.pointee
            #expect(found.applied_rule == Int32(rule.rawValue) && found.calibration_applied == 1)
            #expect(found.calibration.pointee.numbers == v05_calibration.example.numbers)
            let center = rule == V05_RULE_CALIBRATED ? 0.1 + 0.8 * 0.5 : 0.4
            let spread = rule == V05_RULE_CALIBRATED ? 0.02 : 0.05
            let weight = spread / (spread + 0.15 / 3)
            #expect(abs(found.weight[0] - weight) <= 1e-15)
            #expect(abs(found.baseline[0] - (center + weight * (2.5 / 3 - center))) <= 1e-15)
        }
    }

    /// A calibration that was fitted on the batch is what v05_calibration_fit finds, and what is applied.
    @Test func fittedOnTheBatch() {
        var random = SeededRandom(5)
        for values in Rollouts.Values.allCases {
            let rollouts = Rollouts.random(40, values, using: &random)
            let call = EstimateCall(rollouts, .double, .rule(V05_RULE_CALIBRATED))
            #expect(Outcome(call.estimate).isOK && Outcome(call.fit).isOK)
            #expect(call.estimate!.pointee.calibration_applied == 1)
            #expect(call.estimate!.pointee.calibration.pointee.numbers == call.fitted!.pointee.numbers)
            let again = EstimateCall(rollouts, .double, .rule(V05_RULE_CALIBRATED))
            again.calibration = again.memory.input(call.fitted!.pointee)
            #expect(Outcome(again.estimate).isOK)
            #expect(again.bits == call.bits)
        }
    }

    /// No finite input makes an advantage that is not finite.
    @Test func advantagesAreFinite() {
        let scales = [0x1p-1030, 1e-200, 1e-160, 1e-155, 1e-150, 1e-100, 1e-30, 1, 1e15, 1e30]
        for scale in scales {
            for options in v05_estimation_options.all where options.test == 0 {
                var options = options
                (options.reward_low, options.reward_high) = (-scale, scale)
                options.epsilon = 0
                var random = SeededRandom(6)
                var rollouts = Rollouts.random(12, .any, using: &random)
                rollouts.rewards = rollouts.rewards.map { $0 * scale }
                rollouts.prior = rollouts.prior?.map { $0 * scale }
                let call = EstimateCall(rollouts, .double, options)
                #expect(Outcome(call.estimate).isOK)
                let isFinite = call.advantages.allSatisfy { $0.isFinite }
                #expect(isFinite, "rewards around \(scale), rule \(options.rule), scale \(options.scale)")
                guard scale >= 1e-30 else { continue }
                let single = EstimateCall(rollouts, .single, options)
                #expect(Outcome(single.estimate).isOK)
                let isSingleFinite = single.advantages.allSatisfy { $0.isFinite }
                #expect(isSingleFinite, "float rewards around \(scale), rule \(options.rule), scale \(options.scale)")
            }
        }
    }

    /// A calibration of any size that is accepted gives finite advantages.
    @Test func hugeCalibrations() {
        let fields: [WritableKeyPath<v05_calibration, Double>] = [
            \.intercept, \.slope, \.prior_variance, \.reward_variance, \.grand_mean, \.between_variance,
        ]
        for field in fields {
            for value in [0x1p-1070, 1e29, 1e40, 1e300, .greatestFiniteMagnitude] {
                for rule in [V05_RULE_CALIBRATED, V05_RULE_JAMES_STEIN] {
                    for precision in EstimateCall.Precision.allCases {
                        for scale in V05_SCALE_NONE.rawValue...V05_SCALE_BATCH.rawValue {
                            var options = v05_estimation_options.rule(rule)
                            options.scale = Int32(scale)
                            options.epsilon = 0
                            let call = EstimateCall(.example, precision, options)
                            var calibration = v05_calibration.example
                            calibration[keyPath: field] = value
                            call.calibration = call.memory.input(calibration)
                            let outcome = Outcome(call.estimate)
                            guard outcome.isOK else {
                                #expect(outcome.status == V05_STATUS_INVALID_CALIBRATION)
                                continue
                            }
                            let isFinite = call.advantages.allSatisfy { $0.isFinite }
                            #expect(isFinite, "\(calibration) rule \(options.rule) scale \(scale) \(precision)")
                        }
                    }
                }
            }
        }
    }

    /// What was fitted can be applied, up to the largest rewards.
    @Test func fitsOfTheLargestRewards() {
        var options = v05_estimation_options.rule(V05_RULE_CALIBRATED)
        (options.reward_low, options.reward_high) = (-1e30, 1e30)
        var random = SeededRandom(7)
        for groupCount in [1, 2, 3, 12] {
            for prior in [-1e30, 1e30] {
                var rollouts = Rollouts.random(groupCount, .twoValued, using: &random)
                rollouts.rewards = rollouts.rewards.map { 2e30 * $0 - 1e30 }
                rollouts.prior = rollouts.prior?.map { $0.isNaN ? prior : 2e30 * $0 - 1e30 }
                let call = EstimateCall(rollouts, .double, options)
                #expect(Outcome(call.fit).isOK)
                call.calibration = call.fitted
                let outcome = Outcome(call.estimate)
                #expect(outcome.isOK, "\(outcome.message)")
                #expect(call.advantages.allSatisfy { $0.isFinite })
            }
        }
    }

    @Test func groupsOfOne() {
        let rollouts = Rollouts(rewards: [0.75], ids: [3])
        for rule in [
            V05_RULE_GRPO, V05_RULE_RLOO, V05_RULE_MEDIAN, V05_RULE_V05, V05_RULE_PRIOR, V05_RULE_DISCOUNTED_BETA,
        ] {
            for (singleton, expected) in [(V05_SINGLETON_ZERO, 0.0), (V05_SINGLETON_RAW, 0.75)] {
                var options = v05_estimation_options.rule(rule)
                options.singleton = Int32(singleton.rawValue)
                let call = EstimateCall(rollouts, .double, options)
                #expect(Outcome(call.estimate).isOK)
                #expect(call.advantages == [expected])
            }
        }
    }

    /// ddof = 1 with one reward, ddof = 0 with one: nothing to divide by in either.
    @Test func degreesOfFreedomOfOneReward() {
        for scale in [V05_SCALE_GROUP, V05_SCALE_BATCH] {
            for ddof in [0, 1] as [Int32] {
                var options = v05_estimation_options.rule(V05_RULE_PRIOR)
                options.scale = Int32(scale.rawValue)
                options.ddof = ddof
                let call = EstimateCall(Rollouts(rewards: [0.75], ids: [3], prior: [0.5]), .double, options)
                #expect(Outcome(call.estimate).isOK)
                #expect(call.advantages == [0.25])
            }
        }
    }

    /// Rounding to float32 may miss a bound; such rewards and priors are taken, the prior set to the bound.
    @Test func roundedBounds() {
        var options = v05_estimation_options.defaults
        (options.reward_low, options.reward_high) = (-0.1, 0.7)
        let rollouts = Rollouts(rewards: [-0.1, 0.7], ids: [1, 1], prior: [0.7000001, 0.7000001])
        let call = EstimateCall(rollouts, .single, options)
        #expect(Outcome(call.estimate).isOK)
        #expect(call.groups(\.prior) == [0.7])
    }
}
