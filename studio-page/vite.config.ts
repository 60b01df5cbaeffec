import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const absent = fileURLToPath(new URL("src/absent/codec.ts", import.meta.url));

// Fixed names: the bundle is committed, and a rebuild of the same sources gives the same bytes.
export default defineConfig({
  base: "./",
  resolve: { alias: { "numcodecs/blosc": absent, "numcodecs/zstd": absent, "numcodecs/lz4": absent } },
  build: {
    outDir: "../src/neuroglow/studio/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    rollupOptions: {
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: (chunk) => `${chunk.name.replace(/-.*/, "")}.js`,
        assetFileNames: "[name][extname]",
      },
    },
  },
});
