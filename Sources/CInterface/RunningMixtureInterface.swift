import CV05
import Estimation

@_cdecl("v05_running_mixture_initialize") @implementation
public func v05_running_mixture_initialize(
    _ running: UnsafeMutablePointer<v05_running_mixture>!, _ struct_size: Int, _ reward_low: Double,
    _ reward_high: Double, _ discount: Double, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let interval = try Interval(checking: reward_low, reward_high)
        let moments = try RunningCalibration(interval: interval, discount: discount).checked()
        try initialize(running, struct_size, "running", to: v05_running_mixture(RunningMixture(moments)))
    }
}

@_cdecl("v05_running_mixture_update") @implementation
public func v05_running_mixture_update(
    _ running: UnsafeMutablePointer<v05_running_mixture>!, _ batch: UnsafePointer<v05_batch>!,
    _ workspace: UnsafeMutableRawPointer!, _ workspace_size: Int, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(UnsafePointer(running), "running")
        var state = try RunningMixture(checking: caller)
        let checked = try CheckedBatch(batch)
        var memory = try checked.memory(workspace, workspace_size)
        try caller.claim(in: &memory, "running")
        try withWorkspace(workspace, workspace_size) { (workspace) throws(Failure) in
            try state.update(checked.view(), workspace: &workspace)
        }
        caller.write(v05_running_mixture(state))
    }
}

@_cdecl("v05_running_mixture_solve") @implementation
public func v05_running_mixture_solve(
    _ running: UnsafePointer<v05_running_mixture>!, _ mixture: UnsafeMutablePointer<v05_mixture>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(running, "running")
        let state = try RunningMixture(checking: caller)
        let output = try CallerStruct(UnsafePointer(mixture), "mixture")
        var memory = CallMemory()
        try caller.claim(in: &memory, "running")
        try output.claim(in: &memory, "mixture")
        output.write(v05_mixture(state.mixture))
    }
}

@_cdecl("v05_running_mixture_save") @implementation
public func v05_running_mixture_save(
    _ running: UnsafePointer<v05_running_mixture>!, _ bytes: UnsafeMutablePointer<UInt8>!, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(running, "running")
        let state = try RunningMixture(checking: caller)
        var memory = CallMemory()
        try caller.claim(in: &memory, "running")
        try save(
            .runningMixture, payloadSize: RunningMixture.savedSize, memory: memory, to: bytes, capacity: capacity,
            size: size
        ) {
            state.write(to: &$0)
        }
    }
}

@_cdecl("v05_running_mixture_load") @implementation
public func v05_running_mixture_load(
    _ running: UnsafeMutablePointer<v05_running_mixture>!, _ bytes: UnsafePointer<UInt8>!, _ size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let caller = try CallerStruct(UnsafePointer(running), "running")
        var memory = CallMemory()
        memory.reads(bytes, size)
        try caller.claim(in: &memory, "running")
        try load(.runningMixture, bytes, size) { (reader) throws(Failure) in
            caller.write(v05_running_mixture(try RunningMixture(from: &reader)))
        }
    }
}

extension RunningMixture {
    fileprivate init(checking caller: CallerStruct<v05_running_mixture>) throws(Failure) {
        var value = v05_running_mixture()
        caller.read(over: &value)
        try self.init(try RunningCalibration(checking: value.calibration), counts: MixtureNumbers(value.counts))
    }
}

extension v05_running_mixture {
    fileprivate init(_ state: RunningMixture) {
        self.init()
        struct_size = MemoryLayout<v05_running_mixture>.size
        state.counts.copy(to: &counts)
        calibration = v05_running_calibration(state.moments)
    }
}
