/// Arrays and structs of one test, each in a heap block of its own (so that the address sanitizer sees an element too
/// many) with guards around it. Remembers how everything looked, to tell what a call has written.
final class Memory {
    private static let guardSize = 32
    private static let guardByte: UInt8 = 0xC3
    /// What outputs are filled with; as a Double a number, as a length absurd.
    private static let patternByte: UInt8 = 0xA5

    private struct Block {
        let start: UnsafeMutableRawPointer
        let size: Int
        let isOutput: Bool
        var seen: [UInt8]

        var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start + guardSize, count: size) }
        var guardsAreIntact: Bool {
            (0..<guardSize).allSatisfy {
                start.load(fromByteOffset: $0, as: UInt8.self) == guardByte
                    && start.load(fromByteOffset: guardSize + size + $0, as: UInt8.self) == guardByte
            }
        }
    }

    private var blocks: [Block] = []

    deinit { blocks.forEach { $0.start.deallocate() } }

    func bytes(_ count: Int, isOutput: Bool) -> UnsafeMutableRawPointer {
        let start = UnsafeMutableRawPointer.allocate(byteCount: count + 2 * Memory.guardSize, alignment: 16)
        start.initializeMemory(as: UInt8.self, repeating: Memory.guardByte, count: count + 2 * Memory.guardSize)
        (start + Memory.guardSize).initializeMemory(
            as: UInt8.self, repeating: isOutput ? Memory.patternByte : 0, count: count)
        blocks.append(Block(start: start, size: count, isOutput: isOutput, seen: []))
        return start + Memory.guardSize
    }

    func input<Element>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let pointer = bytes(values.count * MemoryLayout<Element>.stride, isOutput: false).bindMemory(
            to: Element.self, capacity: values.count)
        pointer.update(from: values, count: values.count)
        return pointer
    }

    func input<Element>(_ value: Element) -> UnsafeMutablePointer<Element> { input([value]) }

    func output<Element>(_ element: Element.Type, _ count: Int) -> UnsafeMutablePointer<Element> {
        bytes(count * MemoryLayout<Element>.stride, isOutput: true).bindMemory(to: Element.self, capacity: count)
    }

    /// A struct that a call reads and writes.
    func output<Element>(holding value: Element) -> UnsafeMutablePointer<Element> {
        let pointer = output(Element.self, 1)
        pointer.pointee = value
        return pointer
    }

    /// From here on changes count.
    func watch() {
        for index in blocks.indices { blocks[index].seen = Array(blocks[index].bytes) }
    }

    var inputsAreUntouched: Bool { areUntouched { !$0.isOutput } }
    var outputsAreUntouched: Bool { areUntouched { $0.isOutput } }

    private func areUntouched(_ isMeant: (Block) -> Bool) -> Bool {
        blocks.allSatisfy { $0.guardsAreIntact && (!isMeant($0) || $0.bytes.elementsEqual($0.seen)) }
    }
}
