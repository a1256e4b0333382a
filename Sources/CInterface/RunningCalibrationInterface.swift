import CV05
import Estimation

@_cdecl("v05_running_calibration_initialize") @implementation
public func v05_running_calibration_initialize(
    _ running: UnsafeMutablePointer<v05_running_calibration>!, _ struct_size: Int, _ reward_low: Double,
    _ reward_high: Double, _ discount: Double, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let interval = try Interval(checking: reward_low, reward_high)
        let moments = try RunningCalibration(interval: interval, discount: discount).checked()
        try initialize(running, struct_size, "running", to: v05_running_calibration(moments))
    }
}

@_cdecl("v05_running_calibration_update") @implementation
public func v05_running_calibration_update(
    _ running: UnsafeMutablePointer<v05_running_calibration>!, _ batch: UnsafePointer<v05_batch>!,
    _ workspace: UnsafeMutableRawPointer!, _ workspace_size: Int, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(UnsafePointer(running), "running")
        var moments = try RunningCalibration(checking: caller)
        let checked = try CheckedBatch(batch)
        var memory = try checked.memory(workspace, workspace_size)
        try caller.claim(in: &memory, "running")
        try withWorkspace(workspace, workspace_size) { (workspace) throws(Failure) in
            try moments.update(checked.view(), workspace: &workspace)
        }
        caller.write(v05_running_calibration(moments))
    }
}

@_cdecl("v05_running_calibration_solve") @implementation
public func v05_running_calibration_solve(
    _ running: UnsafePointer<v05_running_calibration>!, _ calibration: UnsafeMutablePointer<v05_calibration>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(running, "running")
        let moments = try RunningCalibration(checking: caller)
        let output = try CallerStruct(UnsafePointer(calibration), "calibration")
        var memory = CallMemory()
        try caller.claim(in: &memory, "running")
        try output.claim(in: &memory, "calibration")
        output.write(v05_calibration(moments.calibration))
    }
}

@_cdecl("v05_running_calibration_save") @implementation
public func v05_running_calibration_save(
    _ running: UnsafePointer<v05_running_calibration>!, _ bytes: UnsafeMutablePointer<UInt8>!, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(running, "running")
        let moments = try RunningCalibration(checking: caller)
        var memory = CallMemory()
        try caller.claim(in: &memory, "running")
        try save(
            .runningCalibration, payloadSize: RunningCalibration.savedSize, memory: memory, to: bytes,
            capacity: capacity, size: size
        ) { moments.write(to: &$0) }
    }
}

@_cdecl("v05_running_calibration_load") @implementation
public func v05_running_calibration_load(
    _ running: UnsafeMutablePointer<v05_running_calibration>!, _ bytes: UnsafePointer<UInt8>!, _ size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(UnsafePointer(running), "running")
        var memory = CallMemory()
        memory.reads(bytes, size)
        try caller.claim(in: &memory, "running")
        try load(.runningCalibration, bytes, size) { (reader) throws(Failure) in
            caller.write(v05_running_calibration(try RunningCalibration(from: &reader)))
        }
    }
}

extension RunningCalibration {
    fileprivate init(checking caller: CallerStruct<v05_running_calibration>) throws(Failure) {
        var value = v05_running_calibration()
        caller.read(over: &value)
        try self.init(checking: value)
    }

    init(checking value: v05_running_calibration) throws(Failure) {
        self.init(interval: try Interval(checking: value.reward_low, value.reward_high), discount: value.discount)
        updates = Int(truncatingIfNeeded: value.updates)
        withinSquares = value.within_squares
        withinFreedom = value.within_freedom
        groups = value.groups
        totalGroups = value.total_groups
        regression = RegressionMoments(value.regression)
        grand = RegressionMoments(value.grand)
        try check()
    }
}

extension RegressionMoments {
    fileprivate init(_ value: v05_regression_moments) {
        self.init()
        groups = value.groups
        meanPrior = value.mean_prior
        meanReward = value.mean_reward
        priorPrior = value.prior_prior
        priorReward = value.prior_reward
        rewardReward = value.reward_reward
        inverseCount = value.inverse_count
    }
}

extension v05_regression_moments {
    fileprivate init(_ moments: RegressionMoments) {
        self.init()
        groups = moments.groups
        mean_prior = moments.meanPrior
        mean_reward = moments.meanReward
        prior_prior = moments.priorPrior
        prior_reward = moments.priorReward
        reward_reward = moments.rewardReward
        inverse_count = moments.inverseCount
    }
}

extension v05_running_calibration {
    init(_ moments: RunningCalibration) {
        self.init()
        struct_size = MemoryLayout<v05_running_calibration>.size
        reward_low = moments.interval.low
        reward_high = moments.interval.high
        discount = moments.discount
        updates = Int64(truncatingIfNeeded: moments.updates)
        within_squares = moments.withinSquares
        within_freedom = moments.withinFreedom
        groups = moments.groups
        total_groups = moments.totalGroups
        regression = v05_regression_moments(moments.regression)
        grand = v05_regression_moments(moments.grand)
    }
}
