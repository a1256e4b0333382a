import Estimation

/// The memory of a call: its inputs, then its outputs, each of which must share none with any before it. NULL shares none.
struct CallMemory {
    private var starts = InlineArray<32, UInt>(repeating: 0)
    private var ends = InlineArray<32, UInt>(repeating: 0)
    private var count = 0

    @inline(never)
    mutating func reads(_ array: UnsafeRawPointer?, bytes: Int) {
        guard let array, bytes > 0, count < 32 else { return }
        starts[unchecked: count] = UInt(bitPattern: array)
        ends[unchecked: count] = UInt(bitPattern: array) &+ UInt(truncatingIfNeeded: bytes)
        count &+= 1
    }

    @inline(__always)
    mutating func reads<Element>(_ array: UnsafePointer<Element>?, _ elements: Int) {
        reads(array, bytes: elements &* MemoryLayout<Element>.stride)
    }

    @inline(never)
    mutating func writes(_ array: UnsafeRawPointer?, bytes: Int, _ argument: Text) throws(Failure) {
        guard let array, bytes > 0 else { return }
        let start = UInt(bitPattern: array)
        let end = start &+ UInt(truncatingIfNeeded: bytes)
        var index = 0
        while index < count {
            if start < ends[unchecked: index] && starts[unchecked: index] < end {
                throw Failure(
                    .overlappingArrays, "@ must share memory with nothing else of the call", naming: argument)
            }
            index &+= 1
        }
        reads(array, bytes: bytes)
    }

    @inline(__always)
    mutating func writes<Element>(
        _ array: UnsafeMutablePointer<Element>?, _ elements: Int, _ argument: Text
    ) throws(Failure) {
        try writes(array, bytes: elements &* MemoryLayout<Element>.stride, argument)
    }
}
