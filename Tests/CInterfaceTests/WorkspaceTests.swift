import CV05
import SeededRandom
import Testing

struct WorkspaceTests {
    @Test func theSizeThatWasAskedForSuffices() {
        var random = SeededRandom(1)
        var weighted = Rollouts.random(25, .any, using: &random)
        weighted.weights = weighted.rewards.indices.map { Double($0 % 5) / 4 }
        let batches = [
            .example, Rollouts(rewards: [], ids: []), Rollouts.random(25, .any, using: &random),
            Rollouts.random(9, .dyadic, using: &random).asOffsets, weighted,
        ]
        for rollouts in batches {
            for options in v05_estimation_options.all where options.test == 0 {
                if rollouts.weights != nil && options.rule == Int32(V05_RULE_MEDIAN.rawValue) { continue }
                let expected = EstimateCall(rollouts, .double, options)
                #expect(Outcome(expected.estimate).isOK)
                for shift in [0, 1, 8, 33, 63] {
                    let call = EstimateCall(rollouts, .double, options)
                    #expect(Outcome(call.queryWorkspace).isOK)
                    // An exact block: the address sanitizer sees a byte too many.
                    let block = UnsafeMutableRawPointer.allocate(byteCount: call.workspaceSize + shift, alignment: 64)
                    defer { block.deallocate() }
                    call.workspace = block + shift
                    #expect(Outcome(call.estimate).isOK)
                    #expect(call.bits == expected.bits)
                }
            }
        }
    }

    /// Less suffices too or is refused with nothing written.
    @Test func lessThanThat() {
        var random = SeededRandom(2)
        var rollouts = Rollouts.random(6, .any, using: &random)
        for rule in [V05_RULE_V05, V05_RULE_CALIBRATED, V05_RULE_MEDIAN, V05_RULE_BATCH_MEAN] {
            rollouts.weights = rule == V05_RULE_BATCH_MEAN ? rollouts.rewards.indices.map { Double($0 % 5) } : nil
            let size = EstimateCall(rollouts, .double, .rule(rule))
            #expect(Outcome(size.queryWorkspace).isOK)
            for given in stride(from: 0, through: size.workspaceSize, by: max(1, size.workspaceSize / 40)) {
                let call = EstimateCall(rollouts, .double, .rule(rule))
                call.workspace = UnsafeMutableRawPointer.allocate(byteCount: given, alignment: 1)
                defer { call.workspace?.deallocate() }
                call.workspaceSize = given
                call.memory.watch()
                let outcome = Outcome(call.estimate)
                #expect(outcome.isOK || outcome.status == V05_STATUS_WORKSPACE_TOO_SMALL)
                #expect(outcome.isOK || call.memory.outputsAreUntouched)
                #expect(given < size.workspaceSize || outcome.isOK)
                let fitted = Outcome(call.fit)
                #expect(fitted.isOK || fitted.status == V05_STATUS_WORKSPACE_TOO_SMALL)
            }
        }
    }

    @Test func theFitFitsInTheWorkspaceOfItsOptions() {
        var random = SeededRandom(3)
        let call = EstimateCall(Rollouts.random(25, .any, using: &random), .double, .rule(V05_RULE_CALIBRATED))
        call.giveWorkspace()
        #expect(Outcome(call.fit).isOK)
    }

    @Test func refusedQueries() {
        let call = EstimateCall()
        let memory = call.memory
        let size = memory.output(Int.self, 1)
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["batch"], in: memory) {
            v05_estimation_workspace_size(nil, call.options, size, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["workspace_size"], in: memory) {
            v05_estimation_workspace_size(call.batch, call.options, nil, $0)
        }
        #expect(Outcome { v05_estimation_workspace_size(call.batch, nil, size, $0) }.isOK)
        call.options!.pointee.rule = 77
        memory.watch()
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["rule", "got 77"], in: memory) {
            v05_estimation_workspace_size(call.batch, call.options, size, $0)
        }
        call.batch!.pointee.row_count = -1
        Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["row_count"], in: memory) {
            v05_estimation_workspace_size(call.batch, nil, size, $0)
        }
    }

    /// The arrays themselves are not read.
    @Test func theLargestBatch() {
        let call = EstimateCall()
        call.batch!.pointee.row_count = 2_147_483_647
        #expect(Outcome(call.queryWorkspace).isOK)
        #expect(call.workspaceSize > 2_147_483_647)
    }
}
