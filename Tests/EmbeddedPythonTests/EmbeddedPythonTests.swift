import CInterface
import CPython
import CV05
import Foundation
import Testing

/// The Python package inside a process that has the library linked in as well: its own copy, the build that ships, is
/// loaded beside it, and both say the same.
@Suite(.serialized, .enabled(if: Python.isAvailable, "V05_PYTHONPATH must hold the folders of v05 and of numpy"))
struct EmbeddedPythonTests {
    /// Two-valued rewards of 40 prompts in mixed order, three of four with a prior.
    private let rewards: [Double]
    private let ids: [Int64]
    private let priors: [Double]

    init() {
        let rows = Array(0..<320)
        ids = rows.map { Int64($0 * 17 % 40) }
        rewards = rows.map { Double(($0 * 7919 + $0 / 5) % 11 < 5 + $0 * 17 % 40 % 4 ? 1 : 0) }
        priors = ids.map { $0 % 4 == 3 ? .nan : Double($0 % 10) / 10 + 0.05 }
    }

    @Test func bothBuildsWorkInOneProcess() throws {
        #expect(
            try Python.run("import v05; result = [v05.build_mode(), v05.__version__]") == [
                .text("embedded"), .text(V05_VERSION),
            ])
        #expect(String(cString: v05_build_mode()) == "hosted")
    }

    @Test func nothingTakesOverSignals() throws {
        _ = try Python.run(
            "import numpy, v05; v05.advantages(numpy.array([1.0, 0.0, 1.0]), numpy.array([4, 4, 5])); result = []")
        #expect(SignalHandlers().changes(since: Python.handlersBefore) == [])
    }

    @Test(arguments: [
        ("v05", V05_RULE_V05), ("calibrated", V05_RULE_CALIBRATED), ("grpo", V05_RULE_GRPO), ("rloo", V05_RULE_RLOO),
        ("james_stein", V05_RULE_JAMES_STEIN), ("prior", V05_RULE_PRIOR), ("median", V05_RULE_MEDIAN),
    ])
    func theSameNumbers(name: String, rule: v05_rule) throws {
        let found = try Python.run(
            """
            import numpy, v05
            nan = float("nan")
            rewards, groups, prior = numpy.array(\(rewards)), numpy.array(\(ids)), numpy.array(\(priors))
            estimate = v05.estimate(rewards, groups, prior, rule="\(name)", scale="group")
            advantages = v05.advantages(rewards, groups, prior, rule="\(name)", scale="group")
            result = [*advantages.tolist(), *estimate.baseline.tolist(), *estimate.mse.tolist(), estimate.rule]
            """)
        let (advantages, baselines, errors) = try estimate(rule)
        let expected = (advantages + baselines + errors).map(Python.Value.number) + [.text(name)]
        #expect(found == expected)
    }

    /// The same by the library that is linked in.
    private func estimate(_ rule: v05_rule) throws -> (advantages: [Double], baselines: [Double], errors: [Double]) {
        var advantages = [Double](repeating: 0, count: rewards.count)
        var baselines = [Double](repeating: 0, count: Set(ids).count)
        var errors = baselines
        let status = rewards.withUnsafeBufferPointer { rewards in
            ids.withUnsafeBufferPointer { ids in
                priors.withUnsafeBufferPointer { priors in
                    advantages.withUnsafeMutableBufferPointer { advantages in
                        baselines.withUnsafeMutableBufferPointer { baselines in
                            errors.withUnsafeMutableBufferPointer { errors in
                                var batch = v05_batch()
                                batch.struct_size = MemoryLayout<v05_batch>.size
                                batch.row_count = Int64(rewards.count)
                                batch.rewards_f64 = rewards.baseAddress
                                batch.group_ids = ids.baseAddress
                                batch.prior = priors.baseAddress
                                var options = v05_estimation_options()
                                _ = v05_estimation_options_initialize(
                                    &options, MemoryLayout<v05_estimation_options>.size, nil)
                                options.rule = Int32(rule.rawValue)
                                options.scale = Int32(V05_SCALE_GROUP.rawValue)
                                var estimate = v05_estimate()
                                estimate.struct_size = MemoryLayout<v05_estimate>.size
                                estimate.group_capacity = Int64(baselines.count)
                                estimate.advantages_f64 = advantages.baseAddress
                                estimate.baseline = baselines.baseAddress
                                estimate.mse = errors.baseAddress
                                return v05_baseline_estimate(&batch, &options, nil, nil, nil, 0, &estimate, nil)
                            }
                        }
                    }
                }
            }
        }
        try #require(status == V05_STATUS_OK)
        return (advantages, baselines, errors)
    }
}
