import CV05
import SeededRandom
import Testing

/// Rows in any order have the same results, bit for bit.
struct OrderTests {
    @Test(arguments: Rollouts.Values.allCases, EstimateCall.Precision.allCases)
    func rowsInAnyOrder(_ values: Rollouts.Values, _ precision: EstimateCall.Precision) {
        var random = SeededRandom(1)
        for groupCount in [1, 15] {
            let rollouts = Rollouts.random(groupCount, values, using: &random)
            let rows = Array(rollouts.rewards.indices)
            let orders =
                [rows.reversed(), rows.sorted { (rollouts.ids[$0], $0) < (rollouts.ids[$1], $1) }]
                + (0..<2).map { _ in rows.shuffled(using: &random) }
            let others = orders.map { rollouts.rearranged($0) }
            for options in v05_estimation_options.all where options.test == 0 || values == .twoValued {
                let call = EstimateCall(rollouts, precision, options)
                #expect(Outcome(call.estimate).isOK)
                let expected = call.bits
                for (order, other) in zip(orders, others) {
                    let call = EstimateCall(other, precision, options)
                    #expect(Outcome(call.estimate).isOK)
                    let isEqual = zip(order, call.bits).allSatisfy { expected[$0] == $1 }
                    #expect(
                        isEqual, "rule \(options.rule), leave_one_out \(options.leave_one_out), scale \(options.scale)")
                }
            }
        }
    }

    @Test func groupsInAnyOrder() {
        var random = SeededRandom(2)
        let rollouts = Rollouts.random(30, .any, using: &random)
        let call = EstimateCall(rollouts)
        #expect(Outcome(call.fit).isOK)
        for _ in 0..<10 {
            let other = EstimateCall(rollouts.rearranged(Array(rollouts.rewards.indices).shuffled(using: &random)))
            #expect(Outcome(other.fit).isOK)
            #expect(other.fitted!.pointee.numbers == call.fitted!.pointee.numbers)
        }
    }

    /// 0 and -0 are equal: which of them comes first shows nowhere.
    @Test func signOfZero() {
        for options in v05_estimation_options.all where options.test == 0 {
            for ids in [[1, 1, 1], [1, 1, 0]] as [[Int64]] {
                for priors in [nil, [0.0, -0.0, 0.5]] {
                    // A row of its own in the second case, else one that makes the group's rewards differ.
                    let rollouts = Rollouts(
                        rewards: [0.0, -0.0, 1], ids: ids,
                        prior: ids[2] == 1 ? priors.map { [$0[0], $0[1], 0] } : priors)
                    let call = EstimateCall(rollouts, .double, options)
                    let swapped = EstimateCall(rollouts.rearranged([1, 0, 2]), .double, options)
                    #expect(Outcome(call.estimate).isOK && Outcome(swapped.estimate).isOK)
                    let isEqual = [swapped.rowBits(1), swapped.rowBits(0), swapped.rowBits(2)] == call.bits
                    #expect(isEqual, "\(rollouts), rule \(options.rule)")
                }
            }
        }
    }
}
