class r{static fromConfig(){throw new Error("This page reads chunks that are not compressed, or by gzip.")}}export{r as default};
