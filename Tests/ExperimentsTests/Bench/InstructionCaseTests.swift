import ModelZoo
import Testing

@testable import AttentionZooExperiments

@Suite("Cases whose instructions are counted") struct InstructionCaseTests {
    @Test("Every case has a name of its own, and every architecture a step and a token")
    func names() {
        let names = InstructionCase.all.map(\.name)
        #expect(Set(names).count == names.count)
        for id in Zoo.identifiers {
            #expect(names.contains("step/\(id)") && names.contains("token/\(id)"))
        }
    }

    @Test("Inputs are made once, and the work is done once before the time that counts")
    func workIsDoneTwice() throws {
        var (made, done) = (0, 0)
        let item = InstructionCase(name: "test") {
            made += 1
            return { done += 1 }
        }
        try item.run()
        #expect(made == 1 && done == 2)
    }

    @Test("The work of every case can be done", arguments: InstructionCase.all.map(\.name))
    func runs(_ name: String) throws {
        try #require(InstructionCase.all.first { $0.name == name }).run()
    }
}
