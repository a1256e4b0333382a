import Allocation
import CLibrary
import CV05
import Estimation

@_cdecl("v05_allocator_options_initialize") @implementation
public func v05_allocator_options_initialize(
    _ options: UnsafeMutablePointer<v05_allocator_options>!, _ struct_size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        try initialize(options, struct_size, "options", to: v05_allocator_options(SequentialAllocator.Options()))
    }
}

@_cdecl("v05_allocator_create") @implementation
public func v05_allocator_create(
    _ options: UnsafePointer<v05_allocator_options>!, _ prompt_count: Int64, _ prior: UnsafePointer<Double>!,
    _ initial: UnsafePointer<Int64>!, _ maximum: UnsafePointer<Int64>!, _ calibration: UnsafePointer<v05_calibration>!,
    _ mixture: UnsafePointer<v05_mixture>!, _ allocator: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        guard let allocator else { throw Failure(.nullPointer, "allocator must not be NULL") }
        let choices = try SequentialAllocator.Options(checking: options)
        let given = try calibration.map { (caller) throws(Failure) in try Calibration(checking: caller) }
        if mixture != nil && given != nil {
            throw Failure(.invalidOption, "calibration must be NULL where a mixture is given, which holds its own")
        }
        let givenMixture = try mixture.map { (caller) throws(Failure) in try Mixture(checking: caller) }
        let count = try checkedCount(prompt_count, "prompt_count")
        let created = try withUnsafePointer(to: givenMixture ?? .empty) { (copy) throws(Failure) in
            try SequentialAllocator(
                options: choices, calibration: given, mixture: mixture == nil ? nil : copy, count: count,
                priors: prior, initials: initial, maxima: maximum)
        }
        allocator.pointee = try newHandle(created) { $0.release() }
    }
}

@_cdecl("v05_allocator_destroy") @implementation
public func v05_allocator_destroy(_ allocator: OpaquePointer!) {
    destroyHandle(allocator) { (value: SequentialAllocator) in value.release() }
}

@_cdecl("v05_allocator_request") @implementation
public func v05_allocator_request(
    _ allocator: OpaquePointer!, _ counts: UnsafeMutablePointer<Int64>!, _ capacity: Int64,
    _ sum: UnsafeMutablePointer<Int64>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        let counts = try checkedArray(counts, "counts", capacity, atLeast: handle.pointee.promptCount)
        var memory = CallMemory()
        try memory.writes(counts, handle.pointee.promptCount, "counts")
        try memory.writes(sum, 1, "sum")
        let requested = handle.pointee.request(counts)
        sum?.pointee = Int64(requested)
    }
}

@_cdecl("v05_allocator_observe") @implementation
public func v05_allocator_observe(
    _ allocator: OpaquePointer!, _ prompt_index: UnsafePointer<Int64>!, _ rewards: UnsafePointer<Double>!,
    _ count: Int64, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    observe(allocator, prompt_index, rewards, nil, isWeighted: false, count, error)
}

@_cdecl("v05_allocator_observe_weighted") @implementation
public func v05_allocator_observe_weighted(
    _ allocator: OpaquePointer!, _ prompt_index: UnsafePointer<Int64>!, _ rewards: UnsafePointer<Double>!,
    _ weights: UnsafePointer<Double>!, _ count: Int64, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    observe(allocator, prompt_index, rewards, weights, isWeighted: true, count, error)
}

@inline(never)
private func observe(
    _ allocator: OpaquePointer?, _ prompts: UnsafePointer<Int64>?, _ rewards: UnsafePointer<Double>?,
    _ weights: UnsafePointer<Double>?, isWeighted: Bool, _ count: Int64, _ error: UnsafeMutablePointer<v05_error>?
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        let count = try checkedCount(count, "count")
        if count == 0 { return }
        guard let prompts else { throw Failure(.nullPointer, "prompt_index must not be NULL") }
        guard let rewards else { throw Failure(.nullPointer, "rewards must not be NULL") }
        if isWeighted && weights == nil { throw Failure(.nullPointer, "weights must not be NULL") }
        try handle.pointee.observe(prompts, rewards, weights: weights, count: count)
    }
}

@_cdecl("v05_allocator_cancel") @implementation
public func v05_allocator_cancel(
    _ allocator: OpaquePointer!, _ prompt_index: UnsafePointer<Int64>!, _ count: Int64,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        let count = try checkedCount(count, "count")
        if count == 0 { return }
        guard let prompt_index else { throw Failure(.nullPointer, "prompt_index must not be NULL") }
        try handle.pointee.cancel(prompt_index, count: count)
    }
}

@_cdecl("v05_allocator_stop") @implementation
public func v05_allocator_stop(
    _ allocator: OpaquePointer!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        handle.pointee.stop()
    }
}

@_cdecl("v05_allocator_status") @implementation
public func v05_allocator_status(
    _ allocator: OpaquePointer!, _ prompt_count: UnsafeMutablePointer<Int64>!, _ counts: UnsafeMutablePointer<Int64>!,
    _ in_flight: UnsafeMutablePointer<Int64>!, _ capacity: Int64, _ done: UnsafeMutablePointer<Int32>!,
    _ calibrated: UnsafeMutablePointer<Int32>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        let count = handle.pointee.promptCount
        if counts != nil { _ = try checkedArray(counts, "counts", capacity, atLeast: count) }
        if in_flight != nil { _ = try checkedArray(in_flight, "in_flight", capacity, atLeast: count) }
        var memory = CallMemory()
        try memory.writes(counts, count, "counts")
        try memory.writes(in_flight, count, "in_flight")
        try memory.writes(prompt_count, 1, "prompt_count")
        try memory.writes(done, 1, "done")
        try memory.writes(calibrated, 1, "calibrated")
        done?.pointee = handle.pointee.isDone ? 1 : 0
        prompt_count?.pointee = Int64(count)
        calibrated?.pointee = handle.pointee.mixture != nil ? 2 : (handle.pointee.calibration == nil ? 0 : 1)
        if counts == nil && in_flight == nil { return }
        var prompt = 0
        while prompt < count {
            counts?[prompt] = Int64(handle.pointee.count(prompt))
            in_flight?[prompt] = Int64(handle.pointee.inFlight(prompt))
            prompt &+= 1
        }
    }
}

@_cdecl("v05_allocator_estimate") @implementation
public func v05_allocator_estimate(
    _ allocator: OpaquePointer!, _ options: UnsafePointer<v05_estimation_options>!,
    _ estimate: UnsafeMutablePointer<v05_estimate>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        var choices = try EstimationOptions(checking: options)
        if options == nil && handle.pointee.calibration != nil {
            choices.rule = handle.pointee.mixture == nil ? .calibrated : .mixture
        }
        let output = try CallerEstimate(estimate)
        try output.checkDoublePrecision()
        var memory = CallMemory()
        try output.claim(
            in: &memory, rowCount: handle.pointee.observationCount, groupCount: handle.pointee.promptCount)
        try withWorkspace(nil, 0) { (workspace) throws(Failure) in
            output.finish(try handle.pointee.estimate(choices, to: output.view, workspace: &workspace))
        }
    }
}

@_cdecl("v05_allocator_observations") @implementation
public func v05_allocator_observations(
    _ allocator: OpaquePointer!, _ prompt_index: UnsafeMutablePointer<Int64>!, _ rewards: UnsafeMutablePointer<Double>!,
    _ capacity: Int64, _ count: UnsafeMutablePointer<Int64>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        let observed = handle.pointee.observationCount
        if prompt_index != nil { _ = try checkedArray(prompt_index, "prompt_index", capacity, atLeast: observed) }
        if rewards != nil { _ = try checkedArray(rewards, "rewards", capacity, atLeast: observed) }
        guard let count else { throw Failure(.nullPointer, "count must not be NULL") }
        var memory = CallMemory()
        try memory.writes(prompt_index, observed, "prompt_index")
        try memory.writes(rewards, observed, "rewards")
        try memory.writes(count, 1, "count")
        count.pointee = Int64(observed)
        var row = 0
        while row < observed {
            let (prompt, reward) = handle.pointee.observation(row)
            prompt_index?[row] = Int64(prompt)
            rewards?[row] = reward
            row &+= 1
        }
    }
}

@_cdecl("v05_allocator_save") @implementation
public func v05_allocator_save(
    _ allocator: OpaquePointer!, _ bytes: UnsafeMutablePointer<UInt8>!, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<SequentialAllocator> = try opened(allocator, "allocator")
        try save(.allocator, payloadSize: handle.pointee.savedSize, to: bytes, capacity: capacity, size: size) {
            handle.pointee.write(to: &$0)
        }
    }
}

@_cdecl("v05_allocator_load") @implementation
public func v05_allocator_load(
    _ allocator: UnsafeMutablePointer<OpaquePointer?>!, _ bytes: UnsafePointer<UInt8>!, _ size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        guard let allocator else { throw Failure(.nullPointer, "allocator must not be NULL") }
        try load(.allocator, bytes, size) { (reader) throws(Failure) in
            var workspace = Workspace()
            defer { workspace.release() }
            let loaded = try SequentialAllocator(from: &reader, workspace: &workspace)
            allocator.pointee = try newHandle(loaded) { $0.release() }
        }
    }
}

extension v05_allocator_options {
    fileprivate init(_ options: SequentialAllocator.Options) {
        self.init()
        rule = options.rule.rawValue
        look_ahead = options.lookAhead.rawValue
        reward_low = options.interval.low
        reward_high = options.interval.high
        initial = Int64(options.initial)
        maximum = Int64(options.maximum)
        maximum_without_prior = Int64(options.maximumWithoutPrior)
        wave = Int64(options.wave)
        cost = options.cost
        budget = Int64(options.budget)
    }
}

extension SequentialAllocator.Options {
    fileprivate init(checking caller: UnsafePointer<v05_allocator_options>?) throws(Failure) {
        self.init()
        guard let caller else { return }
        var options = v05_allocator_options(self)
        try CallerStruct(caller, "options").read(over: &options)
        guard let rule = AllocationRule(rawValue: options.rule) else {
            throw .option("rule must be a v05_allocation_rule", Int(options.rule))
        }
        guard let lookAhead = LookAhead(rawValue: options.look_ahead) else {
            throw .option("look_ahead must be a v05_look_ahead", Int(options.look_ahead))
        }
        self.rule = rule
        self.lookAhead = lookAhead
        interval = try Interval(checking: options.reward_low, options.reward_high)
        initial = Int(options.initial)
        maximum = Int(options.maximum)
        maximumWithoutPrior = Int(options.maximum_without_prior)
        wave = Int(options.wave)
        cost = options.cost
        budget = Int(options.budget)
    }
}
