import CV05
import Testing

struct VersionTests {
    @Test func theLibraryIsOfTheHeadersVersion() {
        #expect(v05_abi_version() == UInt32(V05_ABI_VERSION))
        #expect(String(cString: v05_version()) == V05_VERSION)
        #expect(String(cString: v05_build_mode()) == "hosted")
    }

    @Test func everyStatusHasAName() {
        let named = (Int32(-10)..<1000).filter { String(cString: v05_status_name($0)) != "unknown status" }
        #expect(named == [0] + Array(100...106) + Array(200...212) + [300] + Array(400...403))
        #expect(Outcome.name(V05_STATUS_INVALID_REWARD) == "V05_STATUS_INVALID_REWARD")
        for status in [Int32.min, -1, .max] { #expect(String(cString: v05_status_name(status)) == "unknown status") }
    }
}
