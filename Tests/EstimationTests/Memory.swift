/// Copies of arrays at addresses that stay. Each is an allocation of its own, so that the address sanitizer sees
/// one step too far.
final class Memory {
    private var blocks: [UnsafeMutableRawPointer] = []

    func copy<Element: BitwiseCopyable>(of array: [Element]) -> UnsafeMutablePointer<Element> {
        let block = UnsafeMutablePointer<Element>.allocate(capacity: array.count)
        block.initialize(from: array, count: array.count)
        blocks.append(UnsafeMutableRawPointer(block))
        return block
    }

    func copy<Element: BitwiseCopyable>(of array: [Element]?) -> UnsafePointer<Element>? {
        array.map { UnsafePointer(copy(of: $0)) }
    }

    func release() {
        for block in blocks { block.deallocate() }
        blocks = []
    }
}
