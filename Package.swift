// swift-tools-version: 6.1
import Foundation
import PackageDescription

// MARK: Settings

/// Unsafe flags are refused in a package that is somebody's dependency: one that SwiftPM has checked out, in `checkouts` beside
/// its `repositories`, or downloaded from a registry. Everywhere else a debug build gets optimised kernels and tensors, so that a plain `swift run Train` is fast as well:
/// without them C is compiled with -O0 and is some 37 times slower.
let isDependency = {
    let parent = URL(fileURLWithPath: Context.packageDirectory).deletingLastPathComponent()
    let repositories = parent.deletingLastPathComponent().appendingPathComponent("repositories")
    let isCheckedOut =
        parent.lastPathComponent == "checkouts" && FileManager.default.fileExists(atPath: repositories.path)
    return isCheckedOut || Context.packageDirectory.contains("/registry/downloads/")
}()
let cSettings: [CSetting] = isDependency ? [] : [.unsafeFlags(["-O3"])]
let hotSwift: [SwiftSetting] = isDependency ? [] : [.unsafeFlags(["-O"], .when(configuration: .debug))]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "AttentionZoo",
    platforms: [.macOS(.v15)],
    products: [
        // MARK: Public libraries
        .library(name: "Tensors", targets: ["Tensors"]),
        .library(name: "NN", targets: ["NN"]),
        .library(name: "Tokenizers", targets: ["AttentionZooTokenizers"]),
        .library(name: "Trainer", targets: ["Trainer"]),
        .library(name: "FLASHTransformers", targets: ["FLASHTransformers"]),
        .library(name: "LocalTransformers", targets: ["LocalTransformers"]),
        .library(name: "Linformers", targets: ["Linformers"]),
        .library(name: "FastWeightTransformers", targets: ["FastWeightTransformers"]),
        .library(name: "BlockRecurrentTransformers", targets: ["BlockRecurrentTransformers"]),
        .library(name: "Transformers", targets: ["Transformers"]),
        .library(name: "Reports", targets: ["AttentionZooReports"]),
        .library(name: "ModelZoo", targets: ["ModelZoo"]),
        .library(name: "Commands", targets: ["AttentionZooCommands"]),

        // MARK: Commands
        .executable(name: "Train", targets: ["AttentionZooTrain"]),
        .executable(name: "Generate", targets: ["AttentionZooGenerate"]),
        .executable(name: "Evaluate", targets: ["AttentionZooEvaluate"]),
        .executable(name: "Report", targets: ["AttentionZooReport"]),
        .executable(name: "Visualize", targets: ["AttentionZooVisualize"]),
        .executable(name: "Retrieval", targets: ["AttentionZooRetrieval"]),
        .executable(name: "Bench", targets: ["AttentionZooBench"]),
        .executable(name: "Compare", targets: ["AttentionZooCompare"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
    ],
    targets: [
        // MARK: System libraries
        .systemLibrary(
            name: "COpenBLASLibrary", pkgConfig: "openblas lapacke",
            providers: [.apt(["libopenblas-dev", "liblapacke-dev"]), .brew(["openblas", "lapack"])]),
        .systemLibrary(
            name: "CZlib", pkgConfig: "zlib",
            providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),

        // MARK: Core
        .target(
            name: "COpenBLAS", dependencies: ["COpenBLASLibrary"], cSettings: cSettings,
            linkerSettings: [.linkedLibrary("openblas"), .linkedLibrary("lapacke")]),
        .target(name: "CKernels", cSettings: cSettings),
        .target(name: "Tensors", dependencies: ["CKernels", "COpenBLAS"], swiftSettings: hotSwift),
        .target(name: "NN", dependencies: ["Tensors", "CKernels"], swiftSettings: hotSwift),
        .target(name: "AttentionZooTokenizers", path: "Sources/Tokenizers", swiftSettings: hotSwift),
        .target(
            name: "Trainer", dependencies: ["NN", "AttentionZooTokenizers", "CKernels", "CZlib"],
            swiftSettings: hotSwift),
        .target(
            name: "AttentionZooReports", dependencies: ["NN", "Trainer", "CZlib"], path: "Sources/Reports",
            swiftSettings: hotSwift),

        // MARK: Models
        .target(
            name: "FLASHTransformers", dependencies: ["NN", "CKernels"], path: "Models/FLASH", exclude: ["README.md"],
            swiftSettings: hotSwift),
        .target(
            name: "LocalTransformers", dependencies: ["NN", "CKernels"], path: "Models/Local", exclude: ["README.md"],
            swiftSettings: hotSwift),
        .target(
            name: "Linformers", dependencies: ["NN", "CKernels"], path: "Models/Linformer", exclude: ["README.md"],
            swiftSettings: hotSwift),
        .target(
            name: "FastWeightTransformers", dependencies: ["NN", "CKernels"], path: "Models/FastWeights",
            exclude: ["README.md"], swiftSettings: hotSwift),
        .target(
            name: "BlockRecurrentTransformers", dependencies: ["NN", "CKernels"], path: "Models/BlockRecurrent",
            exclude: ["README.md"], swiftSettings: hotSwift),
        .target(
            name: "Transformers", dependencies: ["NN"], path: "Models/Transformer", exclude: ["README.md"],
            swiftSettings: hotSwift),
        .target(
            name: "ModelZoo",
            dependencies: [
                "Trainer", "AttentionZooReports", "FLASHTransformers", "LocalTransformers", "Linformers",
                "FastWeightTransformers", "BlockRecurrentTransformers", "Transformers",
            ]),
        .target(
            name: "AttentionZooExperiments", dependencies: ["ModelZoo", "CKernels"], path: "Sources/Experiments",
            swiftSettings: hotSwift),

        // MARK: Executables
        .target(
            name: "AttentionZooCommands",
            dependencies: ["ModelZoo", "AttentionZooExperiments", argumentParser],
            path: "Sources/Commands"),
        .executableTarget(name: "AttentionZooTrain", dependencies: ["AttentionZooCommands"], path: "Sources/Train"),
        .executableTarget(
            name: "AttentionZooGenerate", dependencies: ["AttentionZooCommands"], path: "Sources/Generate"),
        .executableTarget(
            name: "AttentionZooEvaluate", dependencies: ["AttentionZooCommands"], path: "Sources/Evaluate"),
        .executableTarget(name: "AttentionZooReport", dependencies: ["AttentionZooCommands"], path: "Sources/Report"),
        .executableTarget(
            name: "AttentionZooVisualize", dependencies: ["AttentionZooCommands"], path: "Sources/Visualize"),
        .executableTarget(
            name: "AttentionZooRetrieval", dependencies: ["AttentionZooCommands"], path: "Sources/Retrieval"),
        .executableTarget(name: "AttentionZooBench", dependencies: ["AttentionZooCommands"], path: "Sources/Bench"),
        .executableTarget(name: "AttentionZooCompare", dependencies: ["AttentionZooCommands"], path: "Sources/Compare"),

        // MARK: Tests
        .target(
            name: "AttentionZooTestSupport", dependencies: ["NN", "Trainer"], path: "Tests/TestSupport",
            swiftSettings: hotSwift),
        .executableTarget(
            name: "AttentionZooTokenize", dependencies: ["AttentionZooTokenizers"], path: "Tests/TokenizeTool"),
        .target(name: "AttentionZooInputSupport", dependencies: ["ModelZoo"], path: "Tests/InputSupport"),
        .testTarget(name: "COpenBLASTests", dependencies: ["COpenBLAS"]),
        .testTarget(name: "CKernelsTests", dependencies: ["CKernels", "AttentionZooTestSupport"]),
        .testTarget(name: "TensorsTests", dependencies: ["Tensors", "AttentionZooTestSupport"]),
        .testTarget(name: "NNTests", dependencies: ["NN", "AttentionZooTestSupport"], resources: [.copy("Fixtures")]),
        .testTarget(
            name: "TokenizersTests", dependencies: ["AttentionZooTokenizers"], resources: [.copy("Fixtures")]),
        .testTarget(
            name: "ReportsTests",
            dependencies: ["AttentionZooReports", "Trainer", "CZlib", "AttentionZooTestSupport"]),
        .testTarget(
            name: "TrainerTests", dependencies: ["Trainer", "AttentionZooTestSupport"], resources: [.copy("Fixtures")]),
        .testTarget(
            name: "ModelsTests",
            dependencies: [
                "FLASHTransformers", "LocalTransformers", "Linformers", "FastWeightTransformers",
                "BlockRecurrentTransformers", "Transformers", "Trainer", "AttentionZooTestSupport",
            ],
            resources: [.copy("Fixtures")]),
        .testTarget(
            name: "ModelZooTests", dependencies: ["ModelZoo", "AttentionZooTestSupport", "AttentionZooInputSupport"],
            resources: [.copy("Found")]),
        .testTarget(
            name: "ExperimentsTests",
            dependencies: ["AttentionZooExperiments", "AttentionZooCommands", "AttentionZooTestSupport"]),
        .testTarget(
            name: "CommandsTests",
            dependencies: [
                "ModelZoo", "Trainer", "AttentionZooCommands", "COpenBLAS", "AttentionZooTestSupport",
                "AttentionZooTrain", "AttentionZooGenerate", "AttentionZooEvaluate", "AttentionZooReport",
                "AttentionZooVisualize", "AttentionZooRetrieval", "AttentionZooBench", "AttentionZooCompare",
            ]),
    ],
    swiftLanguageModes: [.v6]
)

// MARK: A part of the tests

/// Leaves out all but the named test targets and what they depend on: a build with a sanitizer would take too long
/// otherwise (`Scripts/sanitize`). Each target is listed after those that it depends on.
if let names = Context.environment["ATTENTION_ZOO_TESTS"] {
    var needed = Set(names.split(separator: " ").map(String.init))
    for target in package.targets.reversed() where needed.contains(target.name) {
        for case .byNameItem(let name, _) in target.dependencies { needed.insert(name) }
    }
    package.targets.removeAll { !needed.contains($0.name) }
    // The executables keep the names by which tests run them.
    package.products.removeAll { product in
        guard let executable = product as? Product.Executable else { return true }
        return !executable.targets.allSatisfy(needed.contains)
    }
}
