import Tensors
import Testing

@Suite struct NearestWordTests {
    @Test(
        "A misspelled word is corrected to the nearest one",
        arguments: [
            ("flsh", "flash"), ("FLASH", "flash"), ("block_recurent", "block-recurrent"), ("linfromer", "linformer"),
            ("fastweights", "fast-weights"), ("fast", "fast-weights"), ("lcoal", "local"),
        ])
    func nearestWord(typed: String, meant: String) {
        #expect(nearest(typed, in: ["flash", "local", "linformer", "fast-weights", "block-recurrent"]) == meant)
    }

    @Test("Words that are not near have no correction")
    func nothingComesNear() {
        #expect(nearest("transformer", in: ["flash", "local"]) == nil)
        #expect(nearest("xy", in: ["flash", "local"]) == nil)
        #expect(nearest("", in: ["flash"]) == nil)
        #expect(nearest("a", in: []) == nil)
        #expect(nearest(String(repeating: "flash", count: 100_000), in: ["flash"]) == nil)
        #expect(nearest("flsh", in: [String(repeating: "flash", count: 100_000), "flash"]) == "flash")
    }
}
