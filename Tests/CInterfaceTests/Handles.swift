import CV05
import Testing

/// A v05_history that is destroyed with the test.
final class History {
    let handle: OpaquePointer

    init(_ options: v05_history_options = .withoutStart) throws {
        var options = options
        var created: OpaquePointer?
        #expect(Outcome { v05_history_create(&options, &created, $0) }.isOK)
        handle = try #require(created)
    }

    init(loading bytes: [UInt8]) throws {
        var created: OpaquePointer?
        #expect(Outcome { v05_history_load(&created, bytes, bytes.count, $0) }.isOK)
        handle = try #require(created)
    }

    deinit { v05_history_destroy(handle) }

    func record(_ rollouts: Rollouts, step: Int64 = 0) throws {
        let call = EstimateCall(rollouts)
        let outcome = Outcome { v05_history_record(handle, call.batch, step, $0) }
        try #require(outcome.isOK, "\(outcome.message)")
    }

    func predict(_ keys: [Int64], step: Int64 = 0) -> (values: [Double], strengths: [Double]) {
        var values = keys.map { _ in -77.0 }
        var strengths = values
        #expect(v05_history_predict(handle, keys, Int64(keys.count), step, &values, &strengths, nil) == V05_STATUS_OK)
        return (values, strengths)
    }

    var count: Int64 {
        var count: Int64 = -1
        #expect(Outcome { v05_history_count(handle, &count, $0) }.isOK)
        return count
    }

    var saved: [UInt8] { bytes { v05_history_save(handle, $0, $1, $2, $3) } }
}

/// A v05_tracker that is destroyed with the test.
final class Tracker {
    let handle: OpaquePointer

    init(_ options: v05_tracker_options = .defaults) throws {
        var options = options
        var created: OpaquePointer?
        #expect(Outcome { v05_tracker_create(&options, &created, $0) }.isOK)
        handle = try #require(created)
    }

    init(loading bytes: [UInt8]) throws {
        var created: OpaquePointer?
        #expect(Outcome { v05_tracker_load(&created, bytes, bytes.count, $0) }.isOK)
        handle = try #require(created)
    }

    deinit { v05_tracker_destroy(handle) }

    func record(_ rollouts: Rollouts) throws {
        let call = EstimateCall(rollouts)
        let outcome = Outcome { v05_tracker_record(handle, call.batch, $0) }
        try #require(outcome.isOK, "\(outcome.message)")
    }

    func predict(_ keys: [Int64], priors: [Double]? = nil) -> (values: [Double], strengths: [Double]) {
        var values = keys.map { _ in -77.0 }
        var strengths = values
        let memory = Memory()
        let priors = priors.map { memory.input($0) }
        #expect(
            v05_tracker_predict(handle, keys, priors, Int64(keys.count), &values, &strengths, nil) == V05_STATUS_OK)
        return (values, strengths)
    }

    func fuse(_ rollouts: Rollouts, leaveOneOut: Int32 = 1) -> [Double] {
        let call = EstimateCall(rollouts)
        var baselines = rollouts.rewards.map { _ in -77.0 }
        let outcome = Outcome { v05_tracker_fuse(handle, call.batch, leaveOneOut, &baselines, $0) }
        #expect(outcome.isOK, "\(outcome.message)")
        return baselines
    }

    var calibration: v05_calibration {
        var calibration = v05_calibration.unset
        #expect(Outcome { v05_tracker_calibration(handle, &calibration, $0) }.isOK)
        return calibration
    }

    var count: Int64 {
        var count: Int64 = -1
        #expect(Outcome { v05_tracker_count(handle, &count, $0) }.isOK)
        return count
    }

    var saved: [UInt8] { bytes { v05_tracker_save(handle, $0, $1, $2, $3) } }
}

/// A v05_allocator that is destroyed with the test.
final class Allocator {
    let handle: OpaquePointer
    let promptCount: Int

    init(
        _ promptCount: Int, _ options: v05_allocator_options = .defaults, prior: [Double]? = nil,
        calibration: v05_calibration? = nil
    ) throws {
        self.promptCount = promptCount
        let memory = Memory()
        let options = memory.input(options)
        let calibration = calibration.map { memory.input($0) }
        let prior = prior.map { memory.input($0) }
        var created: OpaquePointer?
        let outcome = Outcome {
            v05_allocator_create(options, Int64(promptCount), prior, nil, nil, calibration, nil, &created, $0)
        }
        handle = try #require(created, "\(outcome.message)")
    }

    init(loading bytes: [UInt8], _ promptCount: Int) throws {
        self.promptCount = promptCount
        var created: OpaquePointer?
        #expect(Outcome { v05_allocator_load(&created, bytes, bytes.count, $0) }.isOK)
        handle = try #require(created)
    }

    deinit { v05_allocator_destroy(handle) }

    func request() -> [Int64] {
        var counts = [Int64](repeating: -77, count: promptCount)
        var sum: Int64 = -77
        #expect(Outcome { v05_allocator_request(handle, &counts, Int64(promptCount), &sum, $0) }.isOK)
        #expect(counts.reduce(0, +) == sum)
        return counts
    }

    func observe(_ results: [(prompt: Int64, reward: Double)]) {
        let outcome = Outcome {
            v05_allocator_observe(handle, results.map(\.prompt), results.map(\.reward), Int64(results.count), $0)
        }
        #expect(outcome.isOK, "\(outcome.message)")
    }

    var status: (counts: [Int64], inFlight: [Int64], done: Bool, calibrated: Bool) {
        var prompts: Int64 = -77
        var counts = [Int64](repeating: -77, count: promptCount)
        var inFlight = counts
        var done: Int32 = -77
        var calibrated: Int32 = -77
        #expect(
            Outcome {
                v05_allocator_status(handle, &prompts, &counts, &inFlight, Int64(promptCount), &done, &calibrated, $0)
            }.isOK)
        #expect(prompts == Int64(promptCount))
        return (counts, inFlight, done == 1, calibrated == 1)
    }

    var observations: (prompts: [Int64], rewards: [Double]) {
        var count: Int64 = -77
        #expect(Outcome { v05_allocator_observations(handle, nil, nil, 0, &count, $0) }.isOK)
        var prompts = [Int64](repeating: -77, count: Int(count))
        var rewards = [Double](repeating: -77, count: Int(count))
        #expect(Outcome { v05_allocator_observations(handle, &prompts, &rewards, count, &count, $0) }.isOK)
        return (prompts, rewards)
    }

    var saved: [UInt8] { bytes { v05_allocator_save(handle, $0, $1, $2, $3) } }
}

/// The bytes that a save function writes, asked for their size first.
func bytes(
    _ save: (UnsafeMutablePointer<UInt8>?, Int, UnsafeMutablePointer<Int>?, UnsafeMutablePointer<v05_error>?) ->
        v05_status
) -> [UInt8] {
    var size = -1
    #expect(Outcome { save(nil, 0, &size, $0) }.isOK)
    let memory = Memory()
    let target = memory.output(UInt8.self, size)
    let written = memory.output(Int.self, 1)
    memory.watch()
    #expect(Outcome { save(target, size, written, $0) }.isOK)
    #expect(written.pointee == size && memory.inputsAreUntouched)
    return Array(UnsafeBufferPointer(start: target, count: size))
}

/// What every save and load function must refuse.
func expectCheckpointRefusals(
    _ saved: [UInt8],
    save: (UnsafeMutablePointer<UInt8>?, Int, UnsafeMutablePointer<Int>?, UnsafeMutablePointer<v05_error>?) ->
        v05_status,
    load: (UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<v05_error>?) -> v05_status, loadingInto target: Memory
) {
    let memory = Memory()
    let space = memory.output(UInt8.self, saved.count)
    let size = memory.output(Int.self, 1)
    Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["size must not be NULL"], in: memory) {
        save(space, saved.count, nil, $0)
    }
    Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["bytes must not be NULL"], in: memory) { save(nil, 8, size, $0) }
    for capacity in [0, 1, saved.count - 1] {
        Outcome.expectRefusal(
            V05_STATUS_CAPACITY_TOO_SMALL, ["capacity", "got \(capacity) and \(saved.count)"], in: memory
        ) { save(space, capacity, size, $0) }
    }

    Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["bytes must not be NULL"], in: target) {
        load(nil, saved.count, $0)
    }
    Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["size must not be negative"], in: target) { load(saved, -1, $0) }
    for size in 0..<saved.count {
        let short = Memory()
        let bytes = short.input(Array(saved[..<size]))
        target.watch()
        #expect(load(bytes, size, nil) == V05_STATUS_CHECKPOINT_TRUNCATED)
        #expect(target.outputsAreUntouched)
    }
    target.watch()
    for place in saved.indices {
        for flipped in [1, 2, 0x80, 0xFF] as [UInt8] {
            var damaged = saved
            damaged[place] ^= flipped
            #expect(load(damaged, damaged.count, nil).rawValue >= 400, "byte \(place)")
        }
    }
    #expect(load(saved + [0], saved.count + 1, nil) == V05_STATUS_CHECKPOINT_TRUNCATED)
    #expect(target.outputsAreUntouched)
    for (place, status) in [
        (0, V05_STATUS_CHECKPOINT_KIND), (4, V05_STATUS_CHECKPOINT_VERSION),
        (saved.count - 1, V05_STATUS_CHECKPOINT_CORRUPTED),
    ] {
        var damaged = saved
        damaged[place] ^= 1
        Outcome.expectRefusal(status, ["checkpoint"], in: target) { load(damaged, damaged.count, $0) }
    }
    // The kind of another object, with a checksum that matches.
    var other = saved
    other[8] = saved[8] == 1 ? 2 : 1
    let sum = checksum(other.dropLast(4))
    for place in 0..<4 { other[other.count - 4 + place] = UInt8(truncatingIfNeeded: sum >> (8 * UInt32(place))) }
    Outcome.expectRefusal(V05_STATUS_CHECKPOINT_KIND, ["checkpoint"], in: target) { load(other, other.count, $0) }
}

/// CRC-32 (IEEE 802.3), bit by bit.
private func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~0) { remainder, byte in
        (0..<8).reduce(remainder ^ UInt32(byte)) { rest, _ in rest & 1 == 1 ? (rest >> 1) ^ 0xEDB8_8320 : rest >> 1 }
    }
}
