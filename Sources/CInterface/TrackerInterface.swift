import CLibrary
import CV05
import Estimation

@_cdecl("v05_tracker_options_initialize") @implementation
public func v05_tracker_options_initialize(
    _ options: UnsafeMutablePointer<v05_tracker_options>!, _ struct_size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        try initialize(options, struct_size, "options", to: v05_tracker_options(Tracker.Options()))
    }
}

@_cdecl("v05_tracker_create") @implementation
public func v05_tracker_create(
    _ options: UnsafePointer<v05_tracker_options>!, _ tracker: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        guard let tracker else { throw Failure(.nullPointer, "tracker must not be NULL") }
        tracker.pointee = try newHandle(Tracker(options: try Tracker.Options(checking: options))) { $0.release() }
    }
}

@_cdecl("v05_tracker_destroy") @implementation
public func v05_tracker_destroy(_ tracker: OpaquePointer!) {
    destroyHandle(tracker) { (value: Tracker) in value.release() }
}

@_cdecl("v05_tracker_predict") @implementation
public func v05_tracker_predict(
    _ tracker: OpaquePointer!, _ keys: UnsafePointer<Int64>!, _ priors: UnsafePointer<Double>!, _ count: Int64,
    _ values: UnsafeMutablePointer<Double>!, _ strengths: UnsafeMutablePointer<Double>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        let count = try checkedCount(count, "count")
        if count == 0 { return }
        guard let keys else { throw Failure(.nullPointer, "keys must not be NULL") }
        var memory = CallMemory()
        memory.reads(keys, count)
        memory.reads(priors, count)
        try memory.writes(values, count, "values")
        try memory.writes(strengths, count, "strengths")
        try handle.pointee.predict(keys, priors: priors, count: count, values: values, strengths: strengths)
    }
}

@_cdecl("v05_tracker_record") @implementation
public func v05_tracker_record(
    _ tracker: OpaquePointer!, _ batch: UnsafePointer<v05_batch>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        let checked = try CheckedBatch(batch)
        try withWorkspace(nil, 0) { (workspace) throws(Failure) in
            try handle.pointee.record(checked.view(), workspace: &workspace)
        }
    }
}

@_cdecl("v05_tracker_fuse") @implementation
public func v05_tracker_fuse(
    _ tracker: OpaquePointer!, _ batch: UnsafePointer<v05_batch>!, _ leave_one_out: Int32,
    _ baselines: UnsafeMutablePointer<Double>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        let checked = try CheckedBatch(batch)
        guard leave_one_out == 0 || leave_one_out == 1 else {
            throw Failure.option("leave_one_out must be 0 or 1", Int(leave_one_out))
        }
        if checked.rowCount == 0 { return }
        guard let baselines else { throw Failure(.nullPointer, "baselines must not be NULL") }
        var memory = try checked.memory(nil, 0)
        try memory.writes(baselines, checked.rowCount, "baselines")
        try withWorkspace(nil, 0) { (workspace) throws(Failure) in
            try handle.pointee.fuse(
                checked.view(), leaveOneOut: leave_one_out == 1, baselines: baselines, workspace: &workspace)
        }
    }
}

@_cdecl("v05_tracker_calibration") @implementation
public func v05_tracker_calibration(
    _ tracker: OpaquePointer!, _ calibration: UnsafeMutablePointer<v05_calibration>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        try CallerStruct(UnsafePointer(calibration), "calibration").write(
            v05_calibration(handle.pointee.calibration))
    }
}

@_cdecl("v05_tracker_merge") @implementation
public func v05_tracker_merge(
    _ tracker: OpaquePointer!, _ other: OpaquePointer!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        let source: UnsafeMutablePointer<Tracker> = try opened(other, "other")
        if handle == source {
            throw Failure(.invalidOption, "other must be another tracker than the one it is merged into")
        }
        try handle.pointee.merge(source.pointee)
    }
}

@_cdecl("v05_tracker_count") @implementation
public func v05_tracker_count(
    _ tracker: OpaquePointer!, _ count: UnsafeMutablePointer<Int64>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        guard let count else { throw Failure(.nullPointer, "count must not be NULL") }
        count.pointee = Int64(handle.pointee.count)
    }
}

@_cdecl("v05_tracker_inspect") @implementation
public func v05_tracker_inspect(
    _ tracker: OpaquePointer!, _ options: UnsafeMutablePointer<v05_tracker_options>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        try CallerStruct(UnsafePointer(options), "options").write(v05_tracker_options(handle.pointee.options))
    }
}

@_cdecl("v05_tracker_save") @implementation
public func v05_tracker_save(
    _ tracker: OpaquePointer!, _ bytes: UnsafeMutablePointer<UInt8>!, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<Tracker> = try opened(tracker, "tracker")
        try save(.tracker, payloadSize: handle.pointee.savedSize, to: bytes, capacity: capacity, size: size) {
            handle.pointee.write(to: &$0)
        }
    }
}

@_cdecl("v05_tracker_load") @implementation
public func v05_tracker_load(
    _ tracker: UnsafeMutablePointer<OpaquePointer?>!, _ bytes: UnsafePointer<UInt8>!, _ size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        guard let tracker else { throw Failure(.nullPointer, "tracker must not be NULL") }
        try load(.tracker, bytes, size) { (reader) throws(Failure) in
            tracker.pointee = try newHandle(try Tracker(from: &reader)) { $0.release() }
        }
    }
}

extension v05_tracker_options {
    init(_ options: Tracker.Options) {
        self.init()
        reward_low = options.interval.low
        reward_high = options.interval.high
        discount = options.discount
        slow_discount = options.slowDiscount
        forgetting = options.forgetting
        capacity = Int64(options.capacity)
    }
}

extension Tracker.Options {
    fileprivate init(checking caller: UnsafePointer<v05_tracker_options>?) throws(Failure) {
        self.init()
        guard let caller else { return }
        var options = v05_tracker_options(self)
        try CallerStruct(caller, "options").read(over: &options)
        interval = try Interval(checking: options.reward_low, options.reward_high)
        discount = options.discount
        slowDiscount = options.slow_discount
        forgetting = options.forgetting
        capacity = Int(options.capacity)
        try check()
    }
}
