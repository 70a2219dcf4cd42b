import Testing

@testable import Comparing

/// "Which to choose", rule by rule, on constructed results.
@Suite struct ReportChoiceTests {
    private func results(_ change: (inout ComparisonResults) -> Void) -> ComparisonResults {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        change(&results)
        return results
    }

    /// The sentence of a topic.
    private func choice(_ topic: String, _ change: (inout ComparisonResults) -> Void) -> String? {
        ComparisonReport(results(change)).choices.first { $0.hasPrefix(topic) }
    }

    private static let full = "Transformer (full attention)"

    @Test("Complete results give a sentence on every topic")
    func wholeResultsGiveAllSentences() {
        let topics = ComparisonReport(ReportSample.whole).choices.map { $0.prefix { $0 != ":" } }
        #expect(
            topics == [
                "Best for a fixed time", "Best for a fixed number of tokens", "Fastest training",
                "Least memory in training", "Long generation", "Finding again what stands far back",
                "Longer than full attention can take", "When full attention is still the best",
            ])
    }

    // MARK: Texts

    /// A model with one validation at 100 s and one at 200 s, at `speed` tokens a second.
    private func text(
        _ model: String, _ first: Double, _ second: Double, speed: Double = 10, megabytes: Double? = 100,
        name: String = "corpus"
    ) -> TextOutcome {
        TextOutcome(
            text: name, checksum: "", model: model, parameters: 1, width: 1, steps: 1, tokens: Int(200 * speed),
            seconds: 200, tokensPerSecond: speed, peakMegabytes: megabytes, generationTokensPerSecond: 1,
            generationPrompt: 1,
            validations: [(100.0, first), (200, second)].map {
                .init(step: 1, tokens: Int($0.0 * speed), seconds: $0.0, bitsPerByte: $0.1)
            })
    }

    @Test("The best for a fixed time is chosen at a time that all have reached")
    func bestForATime() {
        let topic = "Best for a fixed time:"
        #expect(
            choice(topic) { $0.text = [text("flash", 3, 2), text("local", 3, 2.5), text("linformer", 3, 2.4)] }
                == topic
                + " FLASH with 2.000 bits per byte, ahead of Linformer with 2.400, after 3 min 20 s of training each.")
        #expect(
            choice(topic) { $0.text = [text("flash", 3, 2.5), text("local", 3, 2)] }?.contains(
                "Local attention with 2.000 bits") == true)
        #expect(choice(topic) { $0.text = [text("flash", 3, 2)] } == nil)
        // One that was stopped early bounds the time for all.
        let short = choice(topic) {
            $0.text = [text("flash", 3, 2), text("local", 2.6, 2)]
            $0.text[1].validations.removeLast()
        }
        #expect(
            short == topic
                + " Local attention with 2.600 bits per byte, ahead of FLASH with 3.000, after 1 min 40 s of training "
                + "each."
        )
        // Two texts, two winners.
        let both = choice(topic) {
            $0.text = [
                text("flash", 3, 2), text("local", 3, 2.5), text("flash", 3, 2.5, name: "t"),
                text("local", 3, 2, name: "t"),
            ]
        }
        #expect(
            both == topic
                + " FLASH with 2.000 bits per byte, ahead of Local attention with 2.500 on the built-in corpus; Local "
                + "attention with 2.000 bits per byte, ahead of FLASH with 2.500 on t, after 3 min 20 s of training "
                + "each."
        )
        // Of texts that are not read for the same time, each says its own.
        let unequal = choice(topic) {
            $0.text = [
                text("flash", 3, 2), text("local", 3, 2.5), text("flash", 3, 2.5, name: "t"),
                text("local", 3, 2, name: "t"),
            ]
            $0.text[3].validations.removeLast()
        }
        #expect(
            unequal == topic
                + " FLASH with 2.000 bits per byte, ahead of Local attention with 2.500 on the built-in corpus, after "
                + "3 min 20 s of training each; FLASH with 3.000 bits per byte and Local attention with 3.000 (a tie: "
                + "within 1%) on t, after 1 min 40 s of training each.")
    }

    @Test("Models within 1 % of the best bits per byte are tied")
    func tiesOfBits() {
        let topic = "Best for a fixed time:"
        let tie = choice(topic) {
            $0.text = [text("flash", 3, 2.019), text("local", 3, 2), text("linformer", 3, 2.021)]
        }
        #expect(
            tie == topic
                + " Local attention with 2.000 bits per byte and FLASH with 2.019 (a tie: within 1%), ahead of "
                + "Linformer with 2.021, after 3 min 20 s of training each.")
        let all = choice(topic) {
            $0.text = [text("flash", 3, 2.019), text("local", 3, 2), text("linformer", 3, 2.01)]
        }
        #expect(
            all == topic
                + " Local attention, Linformer and FLASH are within 1%, from 2.000 bits per byte to 2.019, after 3 min "
                + "20 s of training each.")
        // One whose training ended by a fault is named.
        let fault = choice(topic) {
            $0.text = [text("flash", 3, 2.019), text("local", 3, 2), text("linformer", 3, 2.01)]
            $0.text[2].validations.removeLast()
            $0.text[2].fault = "not finite"
        }
        #expect(
            fault == topic
                + " Local attention with 2.000 bits per byte and FLASH with 2.019 (a tie: within 1%), without Linformer "
                + "(not validated there), after 3 min 20 s of training each.")
    }

    /// At 1000 tokens: the slow model's end, the fast one's middle.
    @Test("The best for a number of tokens is chosen at a number that all have reached")
    func bestForTokens() {
        let topic = "Best for a fixed number of tokens:"
        let found = choice(topic) { $0.text = [text("flash", 3, 1.5, speed: 10), text("local", 3, 2.5, speed: 5)] }
        #expect(
            found == topic
                + " Local attention with 2.500 bits per byte, ahead of FLASH with 3.000, after 1,000 tokens each.")
        let between = choice(topic) { $0.text = [text("flash", 3, 1, speed: 8), text("local", 3, 2.5, speed: 6)] }
        #expect(
            between == topic
                + " FLASH with 2.000 bits per byte, ahead of Local attention with 2.500, after 1,200 tokens each.")
    }

    @Test("The fastest training is named, with ties within 5 %")
    func fastestTraining() {
        let topic = "Fastest training:"
        #expect(
            choice(topic) { $0.text = [text("flash", 3, 2, speed: 1000), text("local", 3, 2, speed: 1500)] }
                == topic
                + " Local attention with 1,500 tokens/s, ahead of FLASH with 1,000, in sequences of 512 tokens.")
        // Within 5% of the best.
        #expect(
            choice(topic) { $0.text = [text("flash", 3, 2, speed: 1000), text("local", 3, 2, speed: 1050)] }
                == topic
                + " Local attention with 1,050 tokens/s and FLASH with 1,000 (a tie: within 5%), in sequences of 512 "
                + "tokens."
        )
        // Without a text, at the shortest sequence that all have.
        #expect(
            choice(topic) { $0.scale = scale("flash", [512: 0.001, 1024: 0.004]) + scale("local", [1024: 0.002]) }
                == topic + " Local attention with 500 tokens/s, ahead of FLASH with 250, in sequences of 1,024 tokens.")
    }

    @Test("The least memory is named for batches and for one sequence")
    func leastMemory() {
        let topic = "Least memory in training:"
        #expect(
            choice(topic) {
                $0.text = [
                    text("flash", 3, 2, megabytes: 90), text("local", 3, 2), text("linformer", 3, 2, megabytes: nil),
                ]
                $0.scale = scale("flash", [512: 1, 1024: 1]) + scale("local", [512: 1, 1024: 1], megabytes: 0.05)
            }
                == topic
                + " FLASH with 90.0 MB, ahead of Local attention with 100 MB, in batches of 8 × 512 tokens; Local "
                + "attention with 51.2 MB, ahead of FLASH with 102 MB, in one sequence of 1k tokens.")
        #expect(choice(topic) { $0.text = [text("flash", 3, 2, megabytes: nil), text("local", 3, 2)] } == nil)
    }

    // MARK: Lengths

    /// - Parameters:
    ///   - times: seconds of training a token, by length.
    ///   - megabytes: for each token.
    ///   - generation: seconds of a generated token after so many.
    ///   - stop: the length that is not run.
    private func scale(
        _ model: String, _ times: [Int: Double], megabytes: Double = 0.1, stop: Int? = nil,
        generation: (Int) -> Double? = { _ in nil }
    ) -> [ScaleOutcome] {
        times.keys.sorted().map { n in
            var outcome = ScaleOutcome(model: model, length: n, parameters: 1)
            outcome.trainingSeconds = times[n]! * Double(n)
            outcome.peakMegabytes = megabytes * Double(n)
            outcome.generationSeconds = generation(n)
            return outcome
        } + (stop.map { [ScaleOutcome(model: model, length: $0, parameters: 1, skipped: "too slow")] } ?? [])
    }

    @Test("The time of a generated token is compared, and its growth with the text")
    func longGeneration() {
        let topic = "Long generation:"
        let lengths = [512: 1.0, 1024: 1, 2048: 1]
        let found = choice(topic) {
            $0.scale = scale("flash", lengths) { _ in 0.002 } + scale("local", lengths) { $0 == 512 ? 0.001 : 0.00125 }
            $0.scale += scale("transformer", [512: 1, 1024: 1]) { Double($0) / 1e6 }
            $0.scale += scale("naive", lengths) { _ in 1e-9 }
        }
        #expect(
            found == topic
                + " Local attention with 1.25 ms a token, ahead of FLASH with 2.00 ms, after a text of 2k tokens. "
                + "From 512 tokens on, the time of a token grows by no more than 25% with FLASH and Local attention. It "
                + "grows with the text with \(Self.full) (2.0× at 1k).")
        // Each is compared with its own beginning.
        let late = choice(topic) {
            $0.scale = scale("flash", lengths) { _ in 0.002 } + scale("local", lengths) { $0 == 512 ? nil : 0.001 }
            $0.scale += scale("transformer", lengths) { $0 == 512 ? nil : Double($0) / 1e6 }
        }
        #expect(late?.contains("with FLASH and Local attention (from 1k on). It grows") == true)
        #expect(late?.hasSuffix("\(Self.full) (2.0× from 1k to 2k).") == true)
        // Where nothing but one model is left, the length before counts.
        let shorter = choice(topic) {
            $0.scale = scale("flash", lengths) { _ in 0.002 } + scale("local", [512: 1]) { _ in 0.001 }
        }
        #expect(
            shorter?.contains("Local attention with 1.00 ms a token, ahead of FLASH with 2.00 ms, after a text of 512")
                == true)
        #expect(choice(topic) { $0.scale = scale("flash", lengths) { _ in 0.002 } } == nil)
    }

    @Test("Models that read longer than full attention are named, and the fastest of them")
    func longerThanFull() {
        let topic = "Longer than full attention can take:"
        let found = choice(topic) {
            $0.scale = scale("transformer", [512: 1e-3, 1024: 1e-3], stop: 2048)
            $0.scale += scale("flash", [512: 1e-3, 1024: 1e-3, 2048: 1e-3, 4096: 1e-3])
            $0.scale += scale("local", [512: 1e-3, 4096: 2e-3]) + scale("linformer", [512: 1e-3])
        }
        #expect(
            found == topic
                + " \(Self.full) ends at 1k tokens (too slow); FLASH (4k) and Local attention (4k) go on. Fastest in "
                + "training at 4k: FLASH with 1.00 ms a token, ahead of Local attention with 2.00 ms.")
        let one = choice(topic) {
            $0.scale = scale("transformer", [512: 1], stop: 1024) + scale("flash", [512: 1, 1024: 0.5])
        }
        #expect(
            one == topic
                + " \(Self.full) ends at 512 tokens (too slow); FLASH (1k) goes on. Fastest in training at 1k: FLASH with 500 ms "
                + "a token."
        )
        #expect(
            choice(topic) { $0.scale = scale("transformer", [512: 1, 1024: 1]) + scale("flash", [512: 1, 1024: 1]) }
                == nil)
        #expect(choice(topic) { $0.scale = scale("local", [512: 1]) + scale("flash", [512: 1, 1024: 1]) } == nil)
        // In the middle of a plan it has not ended yet.
        let open = choice(topic) { $0.scale = scale("transformer", [512: 1]) + scale("flash", [512: 1, 1024: 1]) }
        #expect(open == nil)
    }

    @Test("The length up to which full attention trains as fast as any is named")
    func fullAttention() {
        let topic = "When full attention is still the best:"
        let others = scale("flash", [512: 1e-3, 1024: 1e-3, 2048: 1e-3]) + scale("naive", [512: 1e-6])
        let near = choice(topic) { $0.scale = others + scale("transformer", [512: 0.9e-3, 1024: 1.05e-3, 2048: 2e-3]) }
        #expect(
            near == topic
                + " up to 1k tokens it trains as fast as any, within 5% (1.05 ms a token; FLASH: 1.00 ms); at 2k FLASH "
                + "trains 2.0× as fast (1.00 ms against 2.00 ms a token).")
        let always = choice(topic) { $0.scale = others + scale("transformer", [512: 0.9e-3, 1024: 0.9e-3]) }
        #expect(
            always == topic + " up to 1k tokens it trains as fast as any, within 5% (900 µs a token; FLASH: 1.00 ms).")
        let never = choice(topic) { $0.scale = others + scale("transformer", [512: 1.5e-3, 1024: 0.9e-3]) }
        #expect(
            never == topic
                + " not for speed: already at 512 FLASH trains 1.5× as fast (1.00 ms against 1.50 ms a token).")
        #expect(choice(topic) { $0.scale = others } == nil)
    }

    @Test(
        "The quality of full attention is compared with the best",
        arguments: [
            (1.9, "from the same tokens it learns most"),
            (1.99, "from the same tokens no other learns better"),
            (2.01, "from the same tokens it learns as well as the best, within 1% (0.010 bits per byte behind FLASH)"),
            (2.5, "from the same tokens it learns less (0.500 bits per byte behind FLASH)"),
        ])
    func fullAttentionsQuality(_ bits: Double, _ expected: String) {
        let found = choice("When full") {
            $0.scale = scale("flash", [512: 1]) + scale("transformer", [512: 1])
            $0.text = [text("flash", 3, 2), text("transformer", 3, bits)]
        }
        #expect(found?.hasSuffix("; \(expected).") == true, "\(found ?? "")")
    }

    // MARK: Recall

    /// Makes an outcome of 100 questions each about near tokens and about tokens more than 64 back.
    private func recall(_ model: String, _ far: Int, near: Int = 100, reach: Int? = nil, task: RecallTaskName = .mqar)
        -> RecallOutcome
    {
        RecallOutcome(
            task: task, model: model, parameters: 1, steps: 1, seconds: 1, trainingLength: 256, chance: 0.01,
            reach: reach,
            accuracies: [
                .init(length: 256, distance: 32, asked: 100, found: near),
                .init(length: 256, distance: 64, asked: 100, found: near),
                .init(length: 256, distance: 256, asked: 100, found: far),
                .init(length: 1024, distance: 1024, asked: 100, found: 0),
            ])
    }

    @Test("Recall from beyond the reach is compared, with ties by the standard error")
    func farRecall() {
        let topic = "Finding again what stands far back:"
        let found = choice(topic) {
            $0.recall = [recall("flash", 90), recall("fast-weights", 50), recall("local", 1, reach: 60)]
        }
        #expect(
            found == topic
                + " FLASH with 90%, ahead of Fast weights with 50%, of what is asked from more than 60 tokens back "
                + "(MQAR); Local attention, which sees no farther, 1.0%.")
        // 2 √(0.9 · 0.1 / 100 + 0.83 · 0.17 / 100) is 9.6%; of 90% and 78%, 10.2%.
        let tie = choice(topic) {
            $0.recall = [
                recall("flash", 90), recall("fast-weights", 83), recall("linformer", 78), recall("local", 1, reach: 60),
            ]
        }
        #expect(
            tie?.contains(
                "FLASH with 90% and Fast weights with 83% (a tie: within two standard errors), ahead of Linformer with "
                    + "78%"
            )
                == true)
        // The mean of two tasks; who has one of them alone is left out.
        let both = choice(topic) {
            $0.recall = [recall("flash", 90), recall("fast-weights", 100), recall("local", 1, reach: 60)]
            $0.recall += [recall("flash", 50, task: .copying), recall("local", 3, reach: 60, task: .copying)]
        }
        #expect(
            both?.contains("FLASH with 70%, ahead of Local attention with 2.0%, of what") == true
                && both?.contains("(MQAR and copying)") == true)
        // No winner among guesses: 1 % is a guess, of 100 answers 5 are one in 200.
        let none = choice(topic) {
            $0.recall = [recall("flash", 5), recall("fast-weights", 0), recall("local", 0, reach: 60)]
        }
        #expect(
            none == topic + " none finds more than a guess does, of what is asked from more than 60 tokens back (MQAR)."
        )
        // Where every model sees everything, nothing is beyond a window.
        #expect(choice(topic) { $0.recall = [recall("flash", 90), recall("fast-weights", 50)] } == nil)
    }
}
