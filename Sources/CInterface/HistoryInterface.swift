import CLibrary
import CV05
import Estimation

@_cdecl("v05_key_hash") @implementation
public func v05_key_hash(
    _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ key: UnsafeMutablePointer<Int64>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        guard let key else { throw Failure(.nullPointer, "key must not be NULL") }
        guard size >= 0 else { throw Failure(.invalidSize, "size must not be negative", integer: size) }
        if bytes == nil && size > 0 { throw Failure(.nullPointer, "bytes must not be NULL") }
        var memory = CallMemory()
        memory.reads(bytes, size)
        try memory.writes(key, 1, "key")
        key.pointee = bytes.map { keyHash($0, count: size) } ?? keyHash(UnsafePointer(Text("").start), count: 0)
    }
}

@_cdecl("v05_key_hashes") @implementation
public func v05_key_hashes(
    _ bytes: UnsafePointer<UInt8>!, _ offsets: UnsafePointer<Int64>!, _ count: Int64,
    _ keys: UnsafeMutablePointer<Int64>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let count = try checkedCount(count, "count")
        if count == 0 { return }
        guard let offsets else { throw Failure(.nullPointer, "offsets must not be NULL") }
        guard let keys else { throw Failure(.nullPointer, "keys must not be NULL") }
        var previous: Int64 = 0
        var index = 0
        while index <= count {
            guard offsets[index] >= previous else {
                throw Failure(
                    .invalidSize, "offsets[#] must not be negative or below the one before", at: index,
                    integer: Int(offsets[index]))
            }
            previous = offsets[index]
            index &+= 1
        }
        if bytes == nil && previous > 0 { throw Failure(.nullPointer, "bytes must not be NULL") }
        var memory = CallMemory()
        memory.reads(bytes, Int(previous))
        memory.reads(offsets, count &+ 1)
        try memory.writes(keys, count, "keys")
        keyHashes(bytes ?? UnsafePointer(Text("").start), offsets: offsets, count: count, keys: keys)
    }
}

@_cdecl("v05_history_options_initialize") @implementation
public func v05_history_options_initialize(
    _ options: UnsafeMutablePointer<v05_history_options>!, _ struct_size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        try initialize(options, struct_size, "options", to: v05_history_options(History.Options()))
    }
}

@_cdecl("v05_history_create") @implementation
public func v05_history_create(
    _ options: UnsafePointer<v05_history_options>!, _ history: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        guard let history else { throw Failure(.nullPointer, "history must not be NULL") }
        history.pointee = try newHandle(History(options: try History.Options(checking: options))) { $0.release() }
    }
}

@_cdecl("v05_history_destroy") @implementation
public func v05_history_destroy(_ history: OpaquePointer!) {
    destroyHandle(history) { (value: History) in value.release() }
}

@_cdecl("v05_history_predict") @implementation
public func v05_history_predict(
    _ history: OpaquePointer!, _ keys: UnsafePointer<Int64>!, _ count: Int64, _ step: Int64,
    _ values: UnsafeMutablePointer<Double>!, _ strengths: UnsafeMutablePointer<Double>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<History> = try opened(history, "history")
        let count = try checkedCount(count, "count")
        let step = try History.checkedStep(step)
        if count == 0 { return }
        guard let keys else { throw Failure(.nullPointer, "keys must not be NULL") }
        var memory = CallMemory()
        memory.reads(keys, count)
        try memory.writes(values, count, "values")
        try memory.writes(strengths, count, "strengths")
        handle.pointee.predict(keys, count: count, step: step, values: values, strengths: strengths)
    }
}

@_cdecl("v05_history_record") @implementation
public func v05_history_record(
    _ history: OpaquePointer!, _ batch: UnsafePointer<v05_batch>!, _ step: Int64,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<History> = try opened(history, "history")
        let checked = try CheckedBatch(batch)
        let step = try History.checkedStep(step)
        try withWorkspace(nil, 0) { (workspace) throws(Failure) in
            try handle.pointee.record(checked.view(hasPriors: false), step: step, workspace: &workspace)
        }
    }
}

@_cdecl("v05_history_start") @implementation
public func v05_history_start(
    _ history: OpaquePointer!, _ keys: UnsafePointer<Int64>!, _ values: UnsafePointer<Double>!,
    _ strengths: UnsafePointer<Double>!, _ count: Int64, _ step: Int64, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<History> = try opened(history, "history")
        let count = try checkedCount(count, "count")
        let step = try History.checkedStep(step)
        if count == 0 { return }
        guard let keys else { throw Failure(.nullPointer, "keys must not be NULL") }
        guard let values else { throw Failure(.nullPointer, "values must not be NULL") }
        guard let strengths else { throw Failure(.nullPointer, "strengths must not be NULL") }
        try handle.pointee.start(keys, values: values, strengths: strengths, count: count, step: step)
    }
}

@_cdecl("v05_history_merge") @implementation
public func v05_history_merge(
    _ history: OpaquePointer!, _ other: OpaquePointer!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<History> = try opened(history, "history")
        let source: UnsafeMutablePointer<History> = try opened(other, "other")
        if handle == source {
            throw Failure(.invalidOption, "other must be another history than the one it is merged into")
        }
        try handle.pointee.merge(source.pointee)
    }
}

@_cdecl("v05_history_count") @implementation
public func v05_history_count(
    _ history: OpaquePointer!, _ count: UnsafeMutablePointer<Int64>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<History> = try opened(history, "history")
        guard let count else { throw Failure(.nullPointer, "count must not be NULL") }
        count.pointee = Int64(handle.pointee.count)
    }
}

@_cdecl("v05_history_inspect") @implementation
public func v05_history_inspect(
    _ history: OpaquePointer!, _ options: UnsafeMutablePointer<v05_history_options>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<History> = try opened(history, "history")
        try CallerStruct(UnsafePointer(options), "options").write(v05_history_options(handle.pointee.options))
    }
}

@_cdecl("v05_history_save") @implementation
public func v05_history_save(
    _ history: OpaquePointer!, _ bytes: UnsafeMutablePointer<UInt8>!, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let handle: UnsafeMutablePointer<History> = try opened(history, "history")
        try save(.history, payloadSize: handle.pointee.savedSize, to: bytes, capacity: capacity, size: size) {
            handle.pointee.write(to: &$0)
        }
    }
}

@_cdecl("v05_history_load") @implementation
public func v05_history_load(
    _ history: UnsafeMutablePointer<OpaquePointer?>!, _ bytes: UnsafePointer<UInt8>!, _ size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        guard let history else { throw Failure(.nullPointer, "history must not be NULL") }
        try load(.history, bytes, size) { (reader) throws(Failure) in
            history.pointee = try newHandle(try History(from: &reader)) { $0.release() }
        }
    }
}

extension v05_history_options {
    init(_ options: History.Options) {
        self.init()
        reward_low = options.interval.low
        reward_high = options.interval.high
        discount = options.discount
        step_decay = options.stepDecay
        capacity = Int64(options.capacity)
        start_strength = options.startStrength
    }
}

extension History.Options {
    fileprivate init(checking caller: UnsafePointer<v05_history_options>?) throws(Failure) {
        self.init()
        guard let caller else { return }
        var options = v05_history_options(self)
        try CallerStruct(caller, "options").read(over: &options)
        interval = try Interval(checking: options.reward_low, options.reward_high)
        discount = options.discount
        stepDecay = options.step_decay
        capacity = Int(options.capacity)
        startStrength = options.start_strength
        try check()
    }
}
