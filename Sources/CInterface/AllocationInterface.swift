import Allocation
import CLibrary
import CV05
import Estimation

@_cdecl("v05_allocation_options_initialize") @implementation
public func v05_allocation_options_initialize(
    _ options: UnsafeMutablePointer<v05_allocation_options>!, _ struct_size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        try initialize(options, struct_size, "options", to: v05_allocation_options.defaults)
    }
}

@_cdecl("v05_allocation_solve") @implementation
public func v05_allocation_solve(
    _ options: UnsafePointer<v05_allocation_options>!, _ prompt_count: Int64, _ probability: UnsafePointer<Double>!,
    _ seen: UnsafePointer<Int64>!, _ strength: UnsafePointer<Double>!, _ total: Int64,
    _ counts: UnsafeMutablePointer<Int64>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        var choices = v05_allocation_options.defaults
        if options != nil { try CallerStruct(options, "options").read(over: &choices) }
        guard let objective = AllocationObjective(rawValue: choices.objective) else {
            throw .option("objective must be a v05_objective", Int(choices.objective))
        }
        guard let priority = Priority(rawValue: choices.priority) else {
            throw .option("priority must be a v05_priority", Int(choices.priority))
        }
        let count = try checkedCount(prompt_count, "prompt_count")
        if count == 0 && total == 0 { return }
        guard let probability else { throw Failure(.nullPointer, "probability must not be NULL") }
        guard let counts else { throw Failure(.nullPointer, "counts must not be NULL") }
        var memory = CallMemory()
        memory.reads(probability, count)
        memory.reads(seen, count)
        memory.reads(strength, count)
        try memory.writes(counts, count, "counts")
        let problem = try AllocationProblem(
            objective: objective, count: count, total: Int(total), minimum: Int(choices.minimum),
            maximum: Int(choices.maximum), priority: priority, exponent: choices.exponent, probabilities: probability,
            seen: seen, strengths: strength)
        try withWorkspace(nil, 0) { (workspace) throws(Failure) in
            // Memory may run out on the way; the caller's array is written when it no longer can.
            let result = try workspace.take(Int64.self, count: count)
            try problem.solve(result, workspace: &workspace)
            _ = memmove(counts, result, count &* MemoryLayout<Int64>.stride)
        }
    }
}

extension v05_allocation_options {
    fileprivate static var defaults: v05_allocation_options {
        var options = v05_allocation_options()
        options.objective = AllocationObjective.neyman.rawValue
        options.priority = Priority.official.rawValue
        options.minimum = 1
        options.maximum = Int64(largestRowCount)
        options.exponent = 1
        return options
    }
}
