import Tensors
import Testing

/// Tensors to and from safetensors files.
@Suite struct TensorFileTests {
    @Test("Tensors and tokens are saved and loaded to the bit")
    func roundTrip() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/tensors.safetensors"
            let x = Tensor([1, -0.0, .infinity, .nan, Float.leastNonzeroMagnitude, 3], shape: [2, 3])
            let tokens = TokenTensor([3, -1, Int32.max, Int32.min], shape: [2, 2])
            var writer = SafetensorsWriter()
            try writer.add("x", x)
            try writer.add("view", x.transposed())
            try writer.add("scalar", Tensor(5))
            try writer.add("empty", Tensor.zeros([0, 3]))
            try writer.add("tokens", tokens)
            try writer.add("narrow", tokens, as: .int32)
            try writer.add("none", TokenTensor([]))
            try writer.write(to: path)

            let file = try SafetensorsFile(path: path)
            #expect(try file.tensor("x").values.map(\.bitPattern) == x.values.map(\.bitPattern))
            #expect(try file.tensor("x").shape == [2, 3] && file.tensor("view").shape == [3, 2])
            #expect(try file.tensor("view").values.map(\.bitPattern) == x.transposed().values.map(\.bitPattern))
            #expect(try file.tensor("scalar").item == 5 && file.tensor("scalar").shape == [])
            #expect(try file.tensor("empty").shape == [0, 3])
            #expect(try file.tokens("tokens") == tokens && file.tokens("narrow") == tokens)
            #expect(try file.entry("tokens").dtype == .int64 && file.entry("narrow").dtype == .int32)
            #expect(try file.tokens("none") == TokenTensor([]))
            expectEqual(try file.tensor("narrow"), [3, -1, 0x1p31, -0x1p31], shape: [2, 2])
            #expect(
                inputErrorMessage { _ = try file.tokens("x") }
                    == "\(path): tensor \"x\": is F32; expected I64, I32, I16, I8, U64, U32, U16, U8 or BOOL")
            #expect(inputErrorMessage { _ = try file.tensor("y") } == "\(path): tensor \"y\": is not in the file")
            #expect(inputErrorMessage { try writer.add("x", tokens) }?.contains("\"x\"") == true)
        }
    }
}
