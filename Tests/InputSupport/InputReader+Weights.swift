import ModelZoo

/// Two tensors, one of which stands under two names.
private struct Tied: Module {
    let table = Parameter(Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]))
    let bias = Parameter(Tensor([0, 0, 0]))

    func collect(into state: inout StateCollector) {
        state.add("input.weight", table)
        state.add("output.weight", table)
        state.add("output.bias", bias)
    }
}

extension InputReader {
    static let headerWords =
        ["dtype", "shape", "data_offsets", "__metadata__", "null", "F64", "F32", "F16", "BF16"]
        + ["I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64", "F8_E4M3", "F8_E5M2"]

    /// Weights: the header, every tensor, and a module that loads them.
    static func safetensors() throws -> InputReader {
        let folder = try InputFolder()
        try Tied().save(to: folder.path + "/saved", metadata: ["step": "3", "model": "tied"])
        let saved = try contents(ofFile: folder.path + "/saved")
        let table = float32s([1, 2, 3, 4, 5, 6])
        let (weight, bias) = (entry("F32", [2, 3], 0, 24), entry("F32", [3], 24, 36))
        func wrapped(_ prefix: String) -> [UInt8] {
            let names = ["input.weight", "output.bias"].map { prefix + $0 }
            return safetensorsBytes(
                #"{"\#(names[0])":\#(weight),"\#(names[1])":\#(bias)}"#, table + float32s([0, 0, 0]))
        }
        var doubtful: Samples = [
            "null-metadata": safetensorsBytes(#"{"__metadata__":null,"a":\#(weight)}"#, table),
            "shared-name": safetensorsBytes(
                #"{"__metadata__":{"output.weight":"input.weight"},"input.weight":\#(weight),"output.bias":\#(bias)}"#,
                table + float32s([0, 0, 0])),
            "data-parallel": wrapped("module."), "compiled": wrapped("_orig_mod."), "nested": wrapped("model.module."),
            "huge-header": [255, 255, 255, 255, 255, 255, 255, 127] + Array("{}".utf8),
            "huge-shape": safetensorsBytes(#"{"a":\#(entry("F32", [Int.max, 2], 0, 24))}"#, table),
            "empty-axis": safetensorsBytes(#"{"a":\#(entry("F32", [0, Int.max], 0, 0))}"#),
            "overlap": safetensorsBytes(
                #"{"a":\#(entry("F32", [6], 0, 24)),"b":\#(entry("F32", [3], 12, 24))}"#, table),
            "gap": safetensorsBytes(#"{"a":\#(entry("F32", [3], 12, 24))}"#, table),
            "cut": Array(saved.dropLast(5)),
            "not-finite": safetensorsBytes(#"{"a":\#(entry("F32", [3], 0, 12))}"#, float32s([.nan, .infinity, -0])),
        ]
        for (type, size) in [
            "F64": 8, "F16": 2, "BF16": 2, "U64": 8, "U32": 4, "U16": 2, "C64": 8, "F8_E4M3": 1, "BOOL": 1,
        ] {
            let header = #"{"a":\#(entry(type, [2], 0, 2 * size))}"#
            doubtful["type-" + type] = safetensorsBytes(header, Array(repeating: 1, count: 2 * size))
        }
        return InputReader(
            "safetensors", file: "weights.safetensors", in: folder,
            valid: ["saved": saved, "nothing": safetensorsBytes("{}")], doubtful: doubtful, words: headerWords
        ) { path in
            let input = try contents(ofFile: path)
            try readWeights(path)
            let repaired = withHeaderLength(input)
            if repaired != input { try readWeights(folder.write(repaired, "repaired.safetensors")) }
        }
    }

    private static func readWeights(_ path: String) throws {
        let file = try SafetensorsFile(path: path)
        try readTensors(of: file)
        if file.names.count > 1 { try Tied().load(from: path) }
    }

    private static func entry(_ type: String, _ shape: [Int], _ start: Int, _ end: Int) -> String {
        let shape = shape.map(String.init).joined(separator: ",")
        return #"{"dtype":"\#(type)","shape":[\#(shape)],"data_offsets":[\#(start),\#(end)]}"#
    }

    /// The index of weights in several files, which lie beside it.
    static func weightsIndex() throws -> InputReader {
        let folder = try InputFolder()
        let weight = safetensorsBytes(
            #"{"input.weight":\#(entry("F32", [2, 3], 0, 24))}"#, float32s([1, 2, 3, 4, 5, 6]))
        let bias = safetensorsBytes(#"{"output.bias":\#(entry("F32", [3], 0, 12))}"#, float32s([0, 0, 0]))
        try folder.write(weight, "one.safetensors")
        try folder.write(bias, "two.safetensors")
        func index(_ first: String, _ second: String) -> [UInt8] {
            Array(
                #"{"metadata":{"total_size":36},"weight_map":{"input.weight":\#(first),"output.bias":\#(second)}}"#.utf8
            )
        }
        return InputReader(
            "weights-index", file: "model.safetensors.index.json", in: folder,
            valid: ["two": index(#""one.safetensors""#, #""two.safetensors""#)],
            doubtful: [
                "absent": index(#""one.safetensors""#, #""three.safetensors""#), "number": index("1", "2"),
                "other": index(#""two.safetensors""#, #""one.safetensors""#),
                "itself": index(#"".""#, #""model.safetensors.index.json""#),
                "outside": index(#""../one.safetensors""#, #""/dev/zero""#),
                "nothing": Array(#"{"weight_map":{}}"#.utf8),
            ],
            words: [
                "metadata", "total_size", "weight_map", "input.weight", "output.bias", "one.safetensors",
                "two.safetensors",
            ]
        ) { path in try Tied().load(from: path) }
    }

    /// Batches as `Evaluate --batch` reads them.
    static func batch() throws -> InputReader {
        let folder = try InputFolder()
        let model = try tinyModel("transformer", vocabulary: 12)
        func file(_ type: String, _ shape: String, _ tokens: [UInt8], _ targets: [UInt8]) -> [UInt8] {
            let (n, end) = (tokens.count, tokens.count + targets.count)
            return safetensorsBytes(
                #"{"tokens":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":[0,\#(n)]},"#
                    + #""targets":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":[\#(n),\#(end)]}}"#,
                tokens + targets)
        }
        let numbers: [Int64] = [1, 2, 3, 4, 5, 11]
        return InputReader(
            "batch", file: "batch.safetensors", in: folder,
            valid: ["int64": file("I64", "[2,3]", int64s(numbers), int64s(numbers.reversed()))],
            doubtful: [
                "bytes": file("U8", "[1,4]", [1, 2, 3, 4], [2, 3, 4, 5]),
                "words": file("U16", "[1,2]", [1, 0, 2, 0], [2, 0, 3, 0]),
                "no-targets": file("I64", "[1,2]", int64s([1, 2]), int64s([-100, -1])),
                "outside": file("I64", "[1,2]", int64s([1, 12]), int64s([-7, .max])),
                "one-axis": file("U8", "[4]", [1, 2, 3, 4], [2, 3, 4, 5]),
                "no-row": file("U8", "[0,4]", [], []),
            ],
            words: headerWords + ["tokens", "targets"]
        ) { path in
            let output = folder.path + "/output.safetensors"
            try model.evaluateBatch(path, output: output)
            try readTensors(of: SafetensorsFile(path: output))
        }
    }
}
