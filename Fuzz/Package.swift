// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that nobody who depends on AttentionZoo builds or sees it. `Scripts/fuzz` builds it with coverage
// of branches and links libFuzzer's driver, which comes with the compiler.
let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "AttentionZoo", path: "..")],
    targets: [
        .target(name: "CLibFuzzer"),
        // A link to Tests/InputSupport: the readers as the tests call them.
        .target(name: "InputSupport", dependencies: [.product(name: "ModelZoo", package: "AttentionZoo")]),
        .executableTarget(name: "Fuzz", dependencies: ["CLibFuzzer", "InputSupport"]),
    ],
    swiftLanguageModes: [.v6]
)
