import CV05
import Testing

/// Structs of older and newer callers, for every struct of v05.h.
struct StructSizeTests {
    /// A struct that a call takes, in a block with room for a longer version of itself.
    private struct Case {
        let name: String
        let size: Int
        let memory: Memory
        let block: UnsafeMutableRawPointer
        let call: (UnsafeMutablePointer<v05_error>?) -> v05_status

        init<Value>(
            _ name: String, _ value: Value, in memory: Memory, isOutput: Bool = false,
            _ call: @escaping (UnsafeMutablePointer<Value>, UnsafeMutablePointer<v05_error>?) -> v05_status
        ) {
            self.name = name
            size = MemoryLayout<Value>.size
            self.memory = memory
            block = memory.bytes(8192, isOutput: isOutput)
            block.initializeMemory(as: UInt8.self, repeating: 0, count: 8192)
            let typed = block.bindMemory(to: Value.self, capacity: 1)
            typed.pointee = value
            self.call = { call(typed, $0) }
        }

        func set(structSize: Int) { block.storeBytes(of: structSize, as: Int.self) }
    }

    private static func running() -> v05_running_calibration {
        var running = v05_running_calibration()
        _ = v05_running_calibration_initialize(&running, MemoryLayout<v05_running_calibration>.size, 0, 1, 0.9, nil)
        return running
    }

    private static func cases() -> [Case] {
        func batch() -> (EstimateCall, v05_batch) {
            let call = EstimateCall()
            return (call, call.batch!.pointee)
        }
        let (batchCall, batchValue) = batch()
        let (fitCall, fitBatch) = batch()
        let (optionsCall, _) = batch()
        let (estimateCall, _) = batch()
        let (fittedCall, _) = batch()
        let (calibrationCall, _) = batch()
        let (appliedCall, _) = batch()
        let (updateCall, _) = batch()
        let solveMemory = Memory(), saveMemory = Memory(), loadMemory = Memory()
        let size = solveMemory.output(Int.self, 1)
        let calibration = solveMemory.output(holding: v05_calibration.unset)
        var bytes = [UInt8](repeating: 0, count: 500)
        var saved = running()
        var length = 0
        _ = v05_running_calibration_save(&saved, &bytes, bytes.count, &length, nil)
        let checkpoint = loadMemory.input(Array(bytes[..<length]))
        let historyMemory = Memory(), allocationMemory = Memory(), allocatorMemory = Memory()
        let history = historyMemory.output(OpaquePointer?.self, 1)
        let trackerMemory = Memory()
        let tracker = trackerMemory.output(OpaquePointer?.self, 1)
        let probability = allocationMemory.input([0.5, 0.5])
        let counts = allocationMemory.output(Int64.self, 2)
        let allocator = allocatorMemory.output(OpaquePointer?.self, 1)
        let (mixtureCall, _) = batch()
        let (appliedMixtureCall, _) = batch()
        let mixtureMemory = Memory()
        let mixture = mixtureMemory.output(holding: v05_mixture.unset)
        let cases = [
            Case("options", v05_modulation_options.defaults, in: mixtureMemory) {
                v05_advantage_modulate_f32($0, 0, 0, nil, 0, nil, nil, nil, nil, nil, nil, $1)
            },
            Case("statistics", v05_modulation_statistics.unset, in: Memory(), isOutput: true) {
                v05_advantage_modulate_f64(nil, 0, 0, nil, 0, nil, nil, nil, nil, nil, $0, $1)
            },
            Case("running", v05_running_mixture.empty, in: mixtureMemory) {
                v05_running_mixture_solve($0, mixture, $1)
            },
            Case("mixture", v05_mixture.unset, in: Memory(), isOutput: true) {
                var running = v05_running_mixture.empty
                return v05_running_mixture_solve(&running, $0, $1)
            },
            Case("mixture", v05_mixture.example, in: mixtureCall.memory) {
                mixtureCall.mixture = $0
                return mixtureCall.estimate($1)
            },
            Case("estimate.mixture", v05_mixture.unset, in: appliedMixtureCall.memory, isOutput: true) {
                appliedMixtureCall.estimate!.pointee.mixture = $0
                return appliedMixtureCall.estimate($1)
            },
            Case("batch", batchValue, in: batchCall.memory) {
                batchCall.batch = $0; return batchCall.estimate($1)
            },
            Case("batch", fitBatch, in: fitCall.memory) {
                fitCall.batch = $0; return fitCall.fit($1)
            },
            Case("options", v05_estimation_options.defaults, in: optionsCall.memory) {
                optionsCall.options = $0; return optionsCall.estimate($1)
            },
            Case("estimate", estimateCall.estimate!.pointee, in: estimateCall.memory, isOutput: true) {
                estimateCall.estimate = $0; return estimateCall.estimate($1)
            },
            Case("calibration", v05_calibration.example, in: calibrationCall.memory) {
                calibrationCall.calibration = $0; return calibrationCall.estimate($1)
            },
            Case("estimate.calibration", v05_calibration.unset, in: appliedCall.memory, isOutput: true) {
                appliedCall.estimate!.pointee.calibration = $0
                return appliedCall.estimate($1)
            },
            Case("calibration", v05_calibration.unset, in: fittedCall.memory, isOutput: true) {
                fittedCall.fitted = $0; return fittedCall.fit($1)
            },
            Case("running", running(), in: updateCall.memory, isOutput: true) {
                v05_running_calibration_update($0, updateCall.batch, nil, 0, $1)
            },
            Case("running", running(), in: solveMemory) { v05_running_calibration_solve($0, calibration, $1) },
            Case("running", running(), in: saveMemory) { v05_running_calibration_save($0, nil, 0, size, $1) },
            Case("running", running(), in: loadMemory, isOutput: true) {
                v05_running_calibration_load($0, checkpoint, length, $1)
            },
            Case("options", v05_history_options.defaults, in: historyMemory) { options, error in
                let status = v05_history_create(options, history, error)
                if status == V05_STATUS_OK { v05_history_destroy(history.pointee) }
                return status
            },
            Case("options", v05_tracker_options.defaults, in: trackerMemory) { options, error in
                let status = v05_tracker_create(options, tracker, error)
                if status == V05_STATUS_OK { v05_tracker_destroy(tracker.pointee) }
                return status
            },
            Case("options", v05_allocation_options.defaults, in: allocationMemory) {
                v05_allocation_solve($0, 2, probability, nil, nil, 8, counts, $1)
            },
            Case("options", v05_allocator_options.defaults, in: allocatorMemory) { options, error in
                let status = v05_allocator_create(options, 2, nil, nil, nil, nil, nil, allocator, error)
                if status == V05_STATUS_OK { v05_allocator_destroy(allocator.pointee) }
                return status
            },
        ]
        // The first call puts the struct in its place.
        for example in cases { #expect(Outcome(example.call).isOK, "\(example.name)") }
        return cases
    }

    @Test(arguments: [0, 1, 7, 9, 4097, 4104, -8, .max, .min] as [Int])
    func sizesThatCannotBe(_ size: Int) {
        for example in StructSizeTests.cases() {
            example.set(structSize: size)
            Outcome.expectRefusal(
                V05_STATUS_INVALID_STRUCT_SIZE, ["\(example.name) must have its struct_size"], in: example.memory,
                example.call)
        }
    }

    @Test func oddSizes() {
        for example in StructSizeTests.cases() {
            for shift in [-1, 1, 4] {
                example.set(structSize: example.size + shift)
                Outcome.expectRefusal(V05_STATUS_INVALID_STRUCT_SIZE, [example.name], in: example.memory, example.call)
            }
        }
    }

    @Test func newerCallers() {
        for example in StructSizeTests.cases() {
            example.set(structSize: example.size + 64)
            #expect(Outcome(example.call).isOK, "\(example.name)")
            for place in [0, 7, 63] {
                example.block.storeBytes(of: 1, toByteOffset: example.size + place, as: UInt8.self)
                Outcome.expectRefusal(
                    V05_STATUS_INVALID_STRUCT_SIZE, [example.name, "newer than this library"], in: example.memory,
                    example.call)
                example.block.storeBytes(of: 0, toByteOffset: example.size + place, as: UInt8.self)
            }
            #expect(Outcome(example.call).isOK, "\(example.name)")
        }
    }

    /// What an older caller does not have takes its default, and nothing beyond its struct is written.
    @Test func olderOptions() {
        for example in StructSizeTests.cases() where example.name == "options" {
            for size in stride(from: example.size - 8, through: 8, by: -8) {
                (example.block + size).initializeMemory(as: UInt8.self, repeating: 0xFF, count: example.size - size)
                example.set(structSize: size)
                #expect(Outcome(example.call).isOK, "\(example.name) of \(size) bytes")
            }
        }
    }

    @Test func olderEstimates() throws {
        let full = EstimateCall()
        #expect(Outcome(full.estimate).isOK)
        let size = MemoryLayout<v05_estimate>.size
        for shorter in stride(from: MemoryLayout<v05_estimate>.offset(of: \.group_count)!, to: size, by: 8) {
            let call = EstimateCall()
            call.estimate!.pointee.struct_size = shorter
            let tail = UnsafeMutableRawPointer(call.estimate!) + shorter
            tail.initializeMemory(as: UInt8.self, repeating: 0xEE, count: size - shorter)
            #expect(Outcome(call.estimate).isOK)
            #expect((0..<size - shorter).allSatisfy { tail.load(fromByteOffset: $0, as: UInt8.self) == 0xEE })
            #expect(call.advantages.map(\.bitPattern) == full.advantages.map(\.bitPattern))
        }
    }

    @Test func olderBatches() {
        let call = EstimateCall()
        let plain = EstimateCall(
            Rollouts(rewards: Rollouts.example.rewards, ids: Rollouts.example.ids, prior: Rollouts.example.prior))
        call.batch!.pointee.struct_size = MemoryLayout<v05_batch>.offset(of: \.mask)!
        #expect(Outcome(call.estimate).isOK && Outcome(plain.estimate).isOK)
        #expect(call.bits == plain.bits)
    }

    @Test func initializers() {
        func check<Value>(
            _ type: Value.Type,
            _ initialize: (UnsafeMutablePointer<Value>?, Int, UnsafeMutablePointer<v05_error>?) -> v05_status
        ) {
            let size = MemoryLayout<Value>.size
            let memory = Memory()
            let target = memory.output(type, 1)
            for wrong in [0, 1, 7, 9, size - 4, size + 1, -8, .max] {
                Outcome.expectRefusal(V05_STATUS_INVALID_STRUCT_SIZE, ["struct_size", "got \(wrong)"], in: memory) {
                    initialize(target, wrong, $0)
                }
            }
            Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["must not be NULL"], in: memory) {
                initialize(nil, size, $0)
            }
            for shorter in stride(from: size, through: 8, by: -8) {
                let target = memory.output(type, 1)
                #expect(Outcome { initialize(target, shorter, $0) }.isOK)
                let bytes = UnsafeRawBufferPointer(start: target, count: size)
                #expect(bytes.load(as: Int.self) == shorter)
                #expect(bytes[shorter...].allSatisfy { $0 == 0xA5 }, "written beyond the caller's struct")
            }
            let longer = size + 64
            let room = memory.bytes(longer + 8, isOutput: true)
            #expect(Outcome { initialize(room.assumingMemoryBound(to: type), longer, $0) }.isOK)
            let bytes = UnsafeRawBufferPointer(start: room, count: longer + 8)
            #expect(bytes.load(as: Int.self) == longer)
            #expect(bytes[size..<longer].allSatisfy { $0 == 0 }, "a newer caller's fields are left as they were")
            #expect(bytes[longer...].allSatisfy { $0 == 0xA5 }, "written beyond the caller's struct")
        }
        check(v05_estimation_options.self, v05_estimation_options_initialize)
        check(v05_history_options.self, v05_history_options_initialize)
        check(v05_tracker_options.self, v05_tracker_options_initialize)
        check(v05_allocation_options.self, v05_allocation_options_initialize)
        check(v05_allocator_options.self, v05_allocator_options_initialize)
        check(v05_modulation_options.self, v05_modulation_options_initialize)
        check(v05_running_calibration.self) { v05_running_calibration_initialize($0, $1, 0, 1, 0.9, $2) }
        check(v05_running_mixture.self) { v05_running_mixture_initialize($0, $1, 0, 1, 0.9, $2) }
    }

    /// An error struct is filled as far as it reaches, and not at all where its size was never set.
    @Test func errorsOfAnotherSize() {
        let size = MemoryLayout<v05_error>.size
        func fill(_ structSize: Int) -> UnsafeRawBufferPointer {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 64, alignment: 8)
            memory.initializeMemory(as: UInt8.self, repeating: 0xA5)
            memory.storeBytes(of: structSize, as: Int.self)
            let error = memory.baseAddress!.assumingMemoryBound(to: v05_error.self)
            #expect(v05_baseline_estimate(nil, nil, nil, nil, nil, 0, nil, error) == V05_STATUS_NULL_POINTER)
            #expect(memory.load(as: Int.self) == structSize)
            return UnsafeRawBufferPointer(memory)
        }
        for unset in [0, 7, 9, 4104, -8, Int.max] {
            let bytes = fill(unset)
            #expect(bytes[8...].allSatisfy { $0 == 0xA5 })
            bytes.deallocate()
        }
        for room in [8, 16, 24, 32, 40, size - 8, size, size + 8, size + 64] {
            let bytes = fill(room)
            #expect(bytes[min(room, size)...].allSatisfy { $0 == 0xA5 }, "written beyond the caller's struct")
            if room >= 16 { #expect(bytes.load(fromByteOffset: 8, as: Int32.self) == 100) }
            if room >= 32 {
                let message = bytes[24..<min(room, size)]
                #expect(message.last == 0)
                #expect(message.starts(with: Array("batch must not be NULL".utf8).prefix(min(room, size) - 25)))
            }
            bytes.deallocate()
        }
    }
}

extension v05_history_options {
    static var defaults: v05_history_options {
        var options = v05_history_options()
        _ = v05_history_options_initialize(&options, MemoryLayout<v05_history_options>.size, nil)
        return options
    }

    static var withoutStart: v05_history_options {
        var options = defaults
        options.start_strength = 0
        return options
    }
}

extension v05_tracker_options {
    static var defaults: v05_tracker_options {
        var options = v05_tracker_options()
        _ = v05_tracker_options_initialize(&options, MemoryLayout<v05_tracker_options>.size, nil)
        return options
    }
}

extension v05_allocation_options {
    static var defaults: v05_allocation_options {
        var options = v05_allocation_options()
        _ = v05_allocation_options_initialize(&options, MemoryLayout<v05_allocation_options>.size, nil)
        return options
    }
}

extension v05_allocator_options {
    static var defaults: v05_allocator_options {
        var options = v05_allocator_options()
        _ = v05_allocator_options_initialize(&options, MemoryLayout<v05_allocator_options>.size, nil)
        return options
    }
}

extension v05_modulation_options {
    static var defaults: v05_modulation_options {
        var options = v05_modulation_options()
        _ = v05_modulation_options_initialize(&options, MemoryLayout<v05_modulation_options>.size, nil)
        return options
    }
}

extension v05_modulation_statistics {
    static var unset: v05_modulation_statistics {
        var statistics = v05_modulation_statistics()
        statistics.struct_size = MemoryLayout<v05_modulation_statistics>.size
        return statistics
    }
}

extension v05_mixture {
    static var unset: v05_mixture {
        var mixture = v05_mixture()
        mixture.struct_size = MemoryLayout<v05_mixture>.size
        return mixture
    }

    /// Of no batch: equal weights.
    static var example: v05_mixture {
        var mixture = unset
        var running = v05_running_mixture.empty
        _ = v05_running_mixture_solve(&running, &mixture, nil)
        return mixture
    }
}

extension v05_running_mixture {
    static var empty: v05_running_mixture {
        var running = v05_running_mixture()
        _ = v05_running_mixture_initialize(&running, MemoryLayout<v05_running_mixture>.size, 0, 1, 0.9, nil)
        return running
    }
}
