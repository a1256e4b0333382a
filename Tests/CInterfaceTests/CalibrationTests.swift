import CV05
import SeededRandom
import Testing

struct CalibrationTests {
    private func initialized(discount: Double = 0.9) -> v05_running_calibration {
        var running = v05_running_calibration()
        #expect(
            Outcome {
                v05_running_calibration_initialize(
                    &running, MemoryLayout<v05_running_calibration>.size, 0, 1, discount, $0)
            }.isOK)
        return running
    }

    private func update(_ running: inout v05_running_calibration, _ rollouts: Rollouts) {
        let call = EstimateCall(rollouts)
        #expect(Outcome { v05_running_calibration_update(&running, call.batch, nil, 0, $0) }.isOK)
    }

    private func solve(_ running: v05_running_calibration) -> [Double] {
        var running = running
        var calibration = v05_calibration.unset
        #expect(Outcome { v05_running_calibration_solve(&running, &calibration, $0) }.isOK)
        return calibration.numbers
    }

    // MARK: fit

    @Test func refusedFits() {
        let call = EstimateCall()
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["calibration must not be NULL"], in: call.memory) {
            v05_calibration_fit(call.batch, call.options, nil, 0, nil, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["batch must not be NULL"], in: call.memory) {
            v05_calibration_fit(nil, call.options, nil, 0, call.fitted, $0)
        }
        #expect(Outcome { v05_calibration_fit(call.batch, nil, nil, 0, call.fitted, $0) }.isOK)
        let workspace = call.memory.bytes(64, isOutput: true)
        Outcome.expectRefusal(V05_STATUS_WORKSPACE_TOO_SMALL, ["workspace_size"], in: call.memory) {
            v05_calibration_fit(call.batch, call.options, workspace, 0, call.fitted, $0)
        }
        UnsafeMutablePointer(mutating: call.batch!.pointee.rewards_f64!)[2] = 1.5
        Outcome.expectRefusal(
            V05_STATUS_REWARD_OUT_OF_RANGE, ["rewards[2]", "got 1.5"], index: 2, in: call.memory, call.fit)
        UnsafeMutablePointer(mutating: call.batch!.pointee.rewards_f64!)[2] = .nan
        Outcome.expectRefusal(
            V05_STATUS_INVALID_REWARD, ["rewards[2]", "got nan"], index: 2, in: call.memory, call.fit)
    }

    @Test func fewGroupsAreNoError() {
        let empty = EstimateCall(Rollouts(rewards: [], ids: []))
        #expect(Outcome(empty.fit).isOK)
        #expect(empty.fitted!.pointee.numbers == [0.5, 0, 0, 0, 0.5, 0, 0, 0])
        let one = EstimateCall(Rollouts(rewards: [1, 0, 0, 0], ids: [4, 4, 4, 4], prior: [0.5, 0.5, 0.5, 0.5]))
        #expect(Outcome(one.fit).isOK)
        #expect(one.fitted!.pointee.numbers == [0.25, 0, 0, 0.25, 0.25, 0, 1, 1])
    }

    // MARK: running

    @Test func oneUpdateIsTheFit() {
        var random = SeededRandom(1)
        for values in Rollouts.Values.allCases {
            let rollouts = Rollouts.random(30, values, using: &random)
            let call = EstimateCall(rollouts)
            #expect(Outcome(call.fit).isOK)
            var running = initialized()
            update(&running, rollouts)
            #expect(zip(solve(running), call.fitted!.pointee.numbers).allSatisfy { abs($0 - $1) <= 2e-2 })
            #expect(
                zip(solve(running), call.fitted!.pointee.numbers).enumerated().allSatisfy {
                    $0.offset == 2 || $0.offset == 5 || abs($0.element.0 - $0.element.1) <= 1e-12
                })
            #expect(running.updates == 1)
        }
    }

    @Test func copiesAreIndependent() {
        var random = SeededRandom(2)
        var running = initialized()
        update(&running, Rollouts.random(20, .any, using: &random))
        let copy = running
        let before = solve(copy)
        update(&running, Rollouts.random(20, .any, using: &random))
        #expect(solve(copy) == before && solve(running) != before)
        #expect(copy.updates == 1 && running.updates == 2)
    }

    @Test func beforeAnyUpdate() {
        #expect(solve(initialized()) == [0.5, 0, 0, 0, 0.5, 0, 0, 0])
    }

    @Test func refusedInitializations() {
        let memory = Memory()
        let running = memory.output(v05_running_calibration.self, 1)
        let size = MemoryLayout<v05_running_calibration>.size
        for (low, high) in [(1.0, 1.0), (2, 1), (.nan, 1), (0, .nan), (0, .infinity), (-.infinity, 0), (0, 1e31)] {
            Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["reward_range"], in: memory) {
                v05_running_calibration_initialize(running, size, low, high, 0.9, $0)
            }
        }
        for (discount, text) in [(-0.1, "got -0.1"), (1.5, "got 1.5"), (.nan, "got nan")] {
            Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["discount must lie in [0, 1]", text], in: memory) {
                v05_running_calibration_initialize(running, size, 0, 1, discount, $0)
            }
        }
    }

    @Test func refusedUpdates() {
        let call = EstimateCall()
        let running = call.memory.output(holding: initialized())
        let calibration = call.memory.output(holding: v05_calibration.unset)
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["running must not be NULL"], in: call.memory) {
            v05_running_calibration_update(nil, call.batch, nil, 0, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["batch must not be NULL"], in: call.memory) {
            v05_running_calibration_update(running, nil, nil, 0, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["running must not be NULL"], in: call.memory) {
            v05_running_calibration_solve(nil, calibration, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["calibration must not be NULL"], in: call.memory) {
            v05_running_calibration_solve(running, nil, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["running must not be NULL"], in: call.memory) {
            v05_running_calibration_save(nil, nil, 0, nil, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["running must not be NULL"], in: call.memory) {
            v05_running_calibration_load(nil, [], 0, $0)
        }
        let workspace = call.memory.bytes(64, isOutput: true)
        Outcome.expectRefusal(V05_STATUS_WORKSPACE_TOO_SMALL, ["workspace_size"], in: call.memory) {
            v05_running_calibration_update(running, call.batch, workspace, 64, $0)
        }
        UnsafeMutablePointer(mutating: call.batch!.pointee.rewards_f64!)[0] = -2
        Outcome.expectRefusal(V05_STATUS_REWARD_OUT_OF_RANGE, ["rewards[0]", "got -2"], index: 0, in: call.memory) {
            v05_running_calibration_update(running, call.batch, nil, 0, $0)
        }
        running.pointee.regression.groups = .nan
        Outcome.expectRefusal(V05_STATUS_INVALID_CALIBRATION, ["running"], in: call.memory) {
            v05_running_calibration_solve(running, calibration, $0)
        }
    }

    @Test func updatesInTheWorkspaceOfTheCalibratedRule() {
        var random = SeededRandom(3)
        let call = EstimateCall(Rollouts.random(30, .any, using: &random), .double, .rule(V05_RULE_CALIBRATED))
        call.giveWorkspace()
        var running = initialized()
        var other = initialized()
        #expect(
            Outcome { v05_running_calibration_update(&running, call.batch, call.workspace, call.workspaceSize, $0) }
                .isOK)
        #expect(Outcome { v05_running_calibration_update(&other, call.batch, nil, 0, $0) }.isOK)
        #expect(solve(running) == solve(other))
    }

    // MARK: checkpoint

    @Test func resumedEqualsUninterrupted() {
        var random = SeededRandom(4)
        var running = initialized()
        update(&running, Rollouts.random(30, .any, using: &random))
        let saved = bytes { v05_running_calibration_save(&running, $0, $1, $2, $3) }
        var resumed = initialized(discount: 0.1)
        #expect(Outcome { v05_running_calibration_load(&resumed, saved, saved.count, $0) }.isOK)
        let next = Rollouts.random(30, .twoValued, using: &random)
        update(&running, next)
        update(&resumed, next)
        #expect(solve(running) == solve(resumed))
        #expect(
            bytes { v05_running_calibration_save(&resumed, $0, $1, $2, $3) }
                == bytes { v05_running_calibration_save(&running, $0, $1, $2, $3) })
    }

    @Test func damagedCheckpoints() {
        var random = SeededRandom(5)
        var running = initialized()
        update(&running, Rollouts.random(10, .any, using: &random))
        let target = Memory()
        let resumed = target.output(holding: initialized())
        expectCheckpointRefusals(
            bytes { v05_running_calibration_save(&running, $0, $1, $2, $3) },
            save: { v05_running_calibration_save(&running, $0, $1, $2, $3) },
            load: { v05_running_calibration_load(resumed, $0, $1, $2) }, loadingInto: target)
    }
}
