// swift-tools-version: 6.1
import PackageDescription

// One source, two builds. Hosted (default) is what the tests, the sanitizers and coverage use.
// The trait Embedded is what ships: no Swift runtime, no signal handlers, libc and nothing else.
//
//     swift build -c release --product v05 --traits Embedded --scratch-path .build-embedded
// It is compiled for size; the loops over rollouts, all in Estimation, are marked @_optimize(speed), and what several
// callers need but not in a loop @inline(never), which keeps the compiler from copying it into each.
let shipped: [SwiftSetting] = [
    .enableExperimentalFeature("Embedded", .when(traits: ["Embedded"])),
    .unsafeFlags(["-wmo", "-Osize", "-Xfrontend", "-function-sections"], .when(traits: ["Embedded"])),
]

/// For the loops over tokens, compiled a second time for processors that have it (and chosen where it is found).
/// A manifest sees the machine that builds; python/release says by V05_MACHINE that it builds for another.
#if arch(x86_64)
let avx2: [SwiftSetting] =
    Context.environment["V05_MACHINE", default: "x86_64"] == "x86_64" ? [.unsafeFlags(["-Xcc", "-mavx2"])] : []
#else
let avx2: [SwiftSetting] = []
#endif

let package = Package(
    name: "v05",
    products: [
        .library(name: "v05", type: .dynamic, targets: ["CInterface"])
    ],
    traits: [
        .trait(name: "Embedded", description: "Build the library that ships: Embedded Swift, libc only.")
    ],
    targets: [
        .systemLibrary(name: "CV05", path: "include"),
        .systemLibrary(name: "CLibrary"),
        .target(name: "TokenPasses", dependencies: ["CLibrary"], swiftSettings: shipped),
        .target(name: "TokenPassesAVX2", dependencies: ["CLibrary"], swiftSettings: shipped + avx2),
        .target(
            name: "Estimation", dependencies: ["CLibrary", "TokenPasses", "TokenPassesAVX2"], swiftSettings: shipped),
        .target(name: "Allocation", dependencies: ["CLibrary", "Estimation"], swiftSettings: shipped),
        .target(
            name: "CInterface",
            dependencies: ["Allocation", "CLibrary", "CV05", "Estimation"],
            exclude: ["library.ld"],
            swiftSettings: shipped,
            linkerSettings: [
                .linkedLibrary("m"),
                .unsafeFlags(
                    [
                        "-use-ld=lld",
                        "-Xlinker", "-T", "-Xlinker", "\(Context.packageDirectory)/Sources/CInterface/library.ld",
                        "-Xlinker", "-soname", "-Xlinker", "libv05.so.1",  // V05_ABI_VERSION
                        "-Xlinker", "-z", "-Xlinker", "defs",
                        "-Xlinker", "-z", "-Xlinker", "now",
                        "-Xlinker", "--gc-sections",
                        "-Xlinker", "--icf=all",
                        "-Xlinker", "--build-id=none",
                        "-Xlinker", "-s",
                    ], .when(traits: ["Embedded"])),
            ]
        ),
        // Tests. CPython is Debian's libpython3-dev, embedded in a test.
        .target(name: "SeededRandom", path: "Tests/SeededRandom"),
        .systemLibrary(
            name: "CPython", path: "Tests/EmbeddedPythonTests/CPython", pkgConfig: "python3-embed",
            providers: [.apt(["libpython3-dev"])]),
        .testTarget(name: "AllocationTests", dependencies: ["Allocation", "Estimation", "SeededRandom"]),
        .testTarget(
            name: "EstimationTests",
            dependencies: ["CLibrary", "Estimation", "SeededRandom", "TokenPasses", "TokenPassesAVX2"]),
        .testTarget(name: "CInterfaceTests", dependencies: ["CInterface", "CV05", "SeededRandom"]),
        .testTarget(
            name: "EmbeddedPythonTests", dependencies: ["CInterface", "CPython", "CV05"], exclude: ["CPython"]),
    ],
    swiftLanguageModes: [.v6]
)
